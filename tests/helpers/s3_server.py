"""A real S3 server (moto's) on a free port of the loopback interface, and a DVC repository that pushes to it."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import boto3
from mlflow_server import free_port

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "user", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
BUCKET = "data"


class S3Server:
    """Holds the empty bucket "data"; takes any credentials until it is told to check them."""

    def __init__(self) -> None:
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._wait()

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def client(self, service: str) -> Any:
        keys = {
            "aws_access_key_id": CREDENTIALS["AWS_ACCESS_KEY_ID"],
            "aws_secret_access_key": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        }
        return boto3.client(service, endpoint_url=self.address, region_name="us-east-1", **keys)

    def put(self, key: str, content: bytes) -> None:
        self.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)

    def delete(self, key: str) -> None:
        self.client("s3").delete_object(Bucket=BUCKET, Key=key)

    def stored_keys(self) -> list[str]:
        found = self.client("s3").list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [item["Key"] for item in found]

    def new_user(self, name: str, *actions: str) -> dict[str, str]:
        """The credentials of a user who may do these actions on S3, and no others."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        policy = {"Version": "2012-10-17", "Statement": statement}
        if actions:
            iam.put_user_policy(UserName=name, PolicyName="s3", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def check_credentials(self, *, on: bool) -> None:
        """From now on (or no longer) check every request's signature and what its user may do."""
        self._post("reset-auth", b"0" if on else b"inf")

    def reset(self) -> None:
        """Empty the server, and make the empty bucket again."""
        self.check_credentials(on=False)
        self._post("reset")
        self.client("s3").create_bucket(Bucket=BUCKET)

    def _post(self, what: str, body: bytes = b"") -> None:
        # As text: a form, the default, is parsed away before moto reads it.
        headers = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.address}/moto-api/{what}", body, headers, method="POST")
        with urllib.request.urlopen(request, timeout=10):
            pass

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.reset()
            except OSError:
                if time.monotonic() > deadline:
                    self.kill()
                    raise
                time.sleep(0.2)


def use_credentials(patch: Any, values: dict[str, str]) -> None:
    """Let botocore find these credentials alone: none from files, none from the machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        patch.setenv(name, "/nonexistent")
    for name, value in values.items():
        patch.setenv(name, value)


def dvc(*arguments: str, cwd: Path) -> str:
    """What a dvc command prints; its cache and settings stay in the folder."""
    own = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(cwd / ".site")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | CREDENTIALS | own | {"PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_repository(path: Path, pipeline: str, address: str) -> None:
    """A DVC repository with that dvc.yaml, whose default remote is the folder "longtail" of the server's bucket."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "dvc.yaml").write_text(pipeline)
    dvc("init", "--no-scm", cwd=path)
    dvc("remote", "add", "--default", "store", f"s3://{BUCKET}/longtail", cwd=path)
    dvc("remote", "modify", "--local", "store", "endpointurl", address, cwd=path)
