"""The S3 remote: `dvc push` and `dvc pull` against a real server, and `longtail.storage.remote` on what it holds."""

import hashlib
import http.server
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import CREDENTIALS, S3Server, dvc, make_repository, use_credentials

from longtail.errors import DataError
from longtail.storage import remote
from longtail.storage.remote import Remote, bucket_and_prefix

PIPELINE = """
stages:
  square:
    cmd: python -c "from pathlib import Path; Path('out').mkdir(); Path('out/a.txt').write_text('1 4 9')"
    outs: [out]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    server = S3Server()
    yield server
    server.kill()


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, empty, and credentials that it takes."""
    server.reset()
    use_credentials(monkeypatch, CREDENTIALS)
    return server


@pytest.fixture
def store(s3: S3Server) -> Remote:
    return Remote("s3://data/longtail", endpoint=s3.address)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def put_object(s3: S3Server, content: bytes, name: str | None = None) -> str:
    """Put an object where DVC does; `name` is an md5 that it does not have."""
    name = name or md5(content)
    s3.put(f"longtail/files/md5/{name[:2]}/{name[2:]}", content)
    return name


@pytest.mark.slow
def test_pull_restores_what_push_stored(s3: S3Server, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    make_repository(repository, PIPELINE, s3.address)
    dvc("repro", cwd=repository)
    dvc("push", cwd=repository)
    shutil.rmtree(repository / "out")
    shutil.rmtree(repository / ".dvc" / "cache")
    dvc("pull", cwd=repository)
    assert (repository / "out" / "a.txt").read_text() == "1 4 9"
    assert "up to date" in dvc("status", cwd=repository)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://data", ("data", "")),
        ("s3://data/", ("data", "")),
        ("s3://my.data-1/a/b/", ("my.data-1", "a/b")),
    ],
)
def test_a_url_names_a_bucket_and_a_folder(url: str, parts: tuple[str, str]) -> None:
    assert bucket_and_prefix(url) == parts


@pytest.mark.parametrize(
    "url", ["", "data", "/data", "gs://data/x", "https://host/data", "s3:/data", "s3://", "s3:///x"]
)
def test_what_is_not_on_s3_is_refused(url: str) -> None:
    with pytest.raises(DataError, match=r"is not an S3 remote; it must be s3://bucket"):
        bucket_and_prefix(url)


def test_objects_come_by_their_md5_and_only_once(s3: S3Server, store: Remote, tmp_path: Path) -> None:
    names = [put_object(s3, content) for content in (b"", b"one", b"two" * 10**6)]
    assert store.get_all([*names, names[0]], tmp_path) == 3
    assert store.get_all(names, tmp_path) == 0
    assert [md5((tmp_path / name).read_bytes()) for name in names] == names
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_that_was_not_written_whole_comes_again(s3: S3Server, store: Remote, tmp_path: Path) -> None:
    name = put_object(s3, b"content")
    (tmp_path / name).write_bytes(b"cont")
    assert store.get(name, tmp_path)
    assert (tmp_path / name).read_bytes() == b"content"


def test_a_damaged_object_is_refused_and_leaves_nothing(s3: S3Server, store: Remote, tmp_path: Path) -> None:
    name = put_object(s3, b"content", md5(b"another"))
    with pytest.raises(DataError, match=f"s3://data/longtail/files/md5/.*/{name[2:]} is damaged .*: delete it there"):
        store.get_all([name], tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_failure_names_itself_and_keeps_what_is_whole(s3: S3Server, tmp_path: Path) -> None:
    store = Remote("s3://data/longtail", endpoint=s3.address, workers=1)
    names = sorted(put_object(s3, bytes([i])) for i in range(4))
    s3.delete(f"longtail/files/md5/{names[2][:2]}/{names[2][2:]}")
    with pytest.raises(DataError, match=f"there is no s3://data/longtail/.*{names[2][2:]}: run `dvc push`"):
        store.get_all(names, tmp_path)
    found = {path.name for path in tmp_path.iterdir()}
    assert names[2] not in found
    assert {names[0], names[1]} <= found <= set(names)  # the next may have begun by then, and is whole


def test_entries_are_relative_to_the_remote_and_below_the_folder(s3: S3Server, store: Remote) -> None:
    for key in ("longtail/a/1", "longtail/a/b/2", "longtail/ab/3", "longtailed/4", "a/5"):
        s3.put(key, b"x" * len(key))
    assert [(entry.name, entry.size) for entry in store.entries()] == [("a/1", 12), ("a/b/2", 14), ("ab/3", 13)]
    assert [entry.name for entry in store.entries("a")] == ["a/1", "a/b/2"]
    assert all(abs(entry.modified.timestamp() - time.time()) < 60 for entry in store.entries())
    assert len(list(Remote("s3://data", endpoint=s3.address).entries())) == 5


@pytest.mark.slow
def test_a_long_list_comes_whole(s3: S3Server, store: Remote) -> None:
    client = s3.client("s3")
    for i in range(1001):  # a page has at most 1000
        client.put_object(Bucket="data", Key=f"longtail/{i:04d}", Body=b"")
    assert [entry.name for entry in store.entries()] == [f"{i:04d}" for i in range(1001)]


def test_a_folder_comes_with_its_tree(s3: S3Server, store: Remote, tmp_path: Path) -> None:
    for key in ("longtail/a/", "longtail/a/1", "longtail/a/b/2"):
        s3.put(key, key.encode())
    assert store.download_all("a", tmp_path / "out") == 2
    assert (tmp_path / "out" / "1").read_text() == "longtail/a/1"
    assert (tmp_path / "out" / "b" / "2").read_text() == "longtail/a/b/2"
    with pytest.raises(DataError, match="there is nothing at s3://data/longtail/c"):
        store.download_all("c", tmp_path / "out")


def test_a_key_that_leads_out_of_the_folder_is_refused(s3: S3Server, store: Remote, tmp_path: Path) -> None:
    s3.put("longtail/a/fine", b"")
    s3.put("longtail/a/x/../../../escaped", b"")
    with pytest.raises(DataError, match=r"'x/\.\./\.\./\.\./escaped', which leads out of its directory"):
        store.download_all("a", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_endpoint_may_come_from_the_environment(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A name, not an address: the bucket must go into the path, as no DNS knows data.localhost.
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.address.replace("127.0.0.1", "localhost"))
    name = put_object(s3, b"content")
    assert Remote("s3://data/longtail").get(name, tmp_path)


def test_a_missing_bucket_is_named(s3: S3Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the bucket of s3://datum/longtail/\S+ does not exist at http://127"):
        Remote("s3://datum/longtail", endpoint=s3.address).get("0" * 32, tmp_path)
    with pytest.raises(DataError, match="the bucket of s3://datum/ does not exist"):
        list(Remote("s3://datum", endpoint=s3.address).entries())


def ask(s3: S3Server, tmp_path: Path) -> str:
    """What the user reads when the object that is there cannot be had."""
    name = put_object_unchecked(s3)
    with pytest.raises(DataError) as caught:
        Remote("s3://data/longtail", endpoint=s3.address).get(name, tmp_path)
    assert not list(tmp_path.iterdir())
    return str(caught.value)


def put_object_unchecked(s3: S3Server) -> str:
    s3.check_credentials(on=False)
    name = put_object(s3, b"content")
    s3.check_credentials(on=True)
    return name


def test_only_the_right_credentials_are_served(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    right, poor = s3.new_user("reader", "s3:GetObject", "s3:ListBucket"), s3.new_user("stranger")
    region = {"AWS_DEFAULT_REGION": "us-east-1"}
    name = put_object_unchecked(s3)
    for values, code in (
        ({"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN", "AWS_SECRET_ACCESS_KEY": "hush"}, "InvalidAccessKeyId"),
        ({**right, "AWS_SECRET_ACCESS_KEY": "hush"}, "SignatureDoesNotMatch"),
        (poor, "AccessDenied"),
    ):
        use_credentials(monkeypatch, values | region)
        message = ask(s3, tmp_path)
        assert code in message
        assert f"s3://data/longtail/files/md5/{name[:2]}" in message
        assert "\n" not in message
        assert "hush" not in message
    use_credentials(monkeypatch, right | region)
    s3.check_credentials(on=True)
    assert Remote("s3://data/longtail", endpoint=s3.address).get(name, tmp_path)


def test_credentials_that_lack_are_named(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_credentials(monkeypatch, {})
    message = ask(s3, tmp_path)
    assert "no credentials for s3://data/longtail" in message
    assert "set AWS_ACCESS_KEY_ID" in message
    use_credentials(monkeypatch, {"AWS_ACCESS_KEY_ID": "half"})
    assert "missing: AWS_SECRET_ACCESS_KEY" in ask(s3, tmp_path)


def test_a_closed_port_is_reported_within_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_credentials(monkeypatch, CREDENTIALS)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, so that nothing else takes it, and not listening
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(DataError, match=f"cannot reach {address} for s3://data/.*; check the endpoint"):
            Remote("s3://data", endpoint=address).get("0" * 32, tmp_path)
    assert time.monotonic() - began < 15


def test_a_store_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_credentials(monkeypatch, CREDENTIALS)
    monkeypatch.setattr(remote, "READ_TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(DataError, match=f"cannot reach {address}"):
            Remote("s3://data", endpoint=address).get("0" * 32, tmp_path)


@pytest.mark.parametrize("endpoint", ["minio:9000", "nonsense", "http://"])
def test_an_endpoint_that_is_no_url_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: str
) -> None:
    use_credentials(monkeypatch, CREDENTIALS)
    with pytest.raises(DataError, match="endpoint"):
        Remote("s3://data", endpoint=endpoint).get("0" * 32, tmp_path)


class Breaking(http.server.BaseHTTPRequestHandler):
    """A stub, not S3: it ends every answer after 1000 bytes, and honours `Range: bytes=N-`."""

    protocol_version = "HTTP/1.1"
    content = bytes(range(250)) * 10

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        rest = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.send_header("ETag", '"one"')
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.end_headers()
        self.wfile.write(rest[:1000])
        self.close_connection = True

    def log_message(self, *arguments: object) -> None: ...


@pytest.fixture
def breaking() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking) as stub:
        threading.Thread(target=stub.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{stub.server_port}"
        stub.shutdown()


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    breaking: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_credentials(monkeypatch, CREDENTIALS)
    assert Remote("s3://data", endpoint=breaking).get(md5(Breaking.content), tmp_path)


@pytest.mark.parametrize("store", ["ignores ranges", "has a new object", "has a new object and no ETags"])
def test_what_is_no_rest_of_the_same_object_is_not_put_behind_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: str
) -> None:
    old, new = bytes(range(250)) * 10, b"new" * 700

    class Changing(Breaking):
        """A stub, not S3: the first answer breaks off, and then the object is another or comes whole."""

        asked = 0

        def do_GET(self) -> None:
            Changing.asked += 1
            range_, tagged = self.headers.get("Range"), "no ETags" not in store
            content = old if Changing.asked == 1 or store == "ignores ranges" else new
            if range_ and content is new and self.headers.get("If-Match") != '"2"' and tagged:
                self.send_response(412)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            if tagged:
                self.send_header("ETag", '"1"' if content is old else '"2"')
            self.end_headers()
            self.wfile.write(content[:1000] if Changing.asked == 1 else content)
            self.close_connection = True

    use_credentials(monkeypatch, CREDENTIALS)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Changing) as stub:
        threading.Thread(target=stub.serve_forever, daemon=True).start()
        Remote("s3://data", endpoint=f"http://127.0.0.1:{stub.server_port}").download("a", tmp_path / "a")
        stub.shutdown()
    assert (tmp_path / "a").read_bytes() == (old if store == "ignores ranges" else new)


def test_a_connection_that_breaks_again_and_again_is_one_sentence(
    breaking: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    use_credentials(monkeypatch, CREDENTIALS)
    monkeypatch.setattr(remote, "ATTEMPTS", 2)
    with pytest.raises(DataError, match="cannot reach"):
        Remote("s3://data", endpoint=breaking).get(md5(Breaking.content), tmp_path)
    assert not list(tmp_path.iterdir())


LIST = b"<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (403, b"<html>no</html>", "refuses s3://data/f: 403"),
        (301, b"", "refuses s3://data/f: 301"),
        (200, LIST, "lists s3://data/f without the Size of each object; it is no S3"),
    ],
)
def test_what_answers_and_is_no_s3_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int, body: bytes, says: str
) -> None:
    class Answering(Breaking):
        """A stub, not S3, as a proxy may be in its place."""

        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    use_credentials(monkeypatch, CREDENTIALS)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as stub:
        threading.Thread(target=stub.serve_forever, daemon=True).start()
        with pytest.raises(DataError, match=says):
            Remote("s3://data", endpoint=f"http://127.0.0.1:{stub.server_port}").download_all("f", tmp_path)
        stub.shutdown()
