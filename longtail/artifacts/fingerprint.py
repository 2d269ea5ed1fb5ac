"""What a piece of work depends on, as a digest: work that survives a crash is found again by it."""

import hashlib
from pathlib import Path

from pydantic import BaseModel

from longtail.tracking.identity import code_md5


def fingerprint(params: BaseModel, *inputs: Path, processes: int = 1, precision: str = "float32") -> str:
    """A digest, in hexadecimal: what was begun with another one is never gone on with.

    It covers the names of the files below each input and what is in them, and not where the inputs lie; the code, whose
    faults a state may hold; the number of processes, which mini-batches grow with; and the precision, which may hang on
    the device.
    """
    digest = hashlib.sha256(f"{params.model_dump_json()}\n{code_md5()}".encode())
    if processes > 1:
        digest.update(f"\n{processes} processes".encode())
    if precision != "float32":
        digest.update(f"\n{precision}".encode())
    for number, path in enumerate(inputs):
        for file in sorted(path.rglob("*")):
            # The images are covered by dataset.json's md5, and embeddings and logits follow from the weights.
            if file.is_file() and not file.name.startswith(("images-", "embeddings-", "logits-")):
                with file.open("rb") as opened:
                    content = hashlib.file_digest(opened, "sha256").hexdigest()
                line = f"\n{number} {file.relative_to(path).as_posix()} {content}"
                digest.update(line.encode("utf-8", "surrogateescape"))  # a name may be any bytes
    return digest.hexdigest()
