"""The images that components run in: LONGTAIL_CPU_IMAGE and LONGTAIL_CUDA_IMAGE, or what was built or pushed."""

import json
import os
from pathlib import Path
from typing import Literal

from longtail.errors import DataError

Kind = Literal["cpu", "cuda"]
PUSHED = Path(__file__).parents[1] / "docker" / "images.json"
AGAIN = "run `make push REGISTRY=…` again, or delete it"


def built(kind: Kind) -> str:
    """The image on this machine: what `make images` built last."""
    return os.environ.get(f"LONGTAIL_{kind.upper()}_IMAGE") or f"longtail-{kind}:local"


def pushed(kind: Kind) -> str:
    """The image for a cluster: what `make push` pushed last, by digest; if nothing was, that of this machine."""
    return os.environ.get(f"LONGTAIL_{kind.upper()}_IMAGE") or noted().get(kind) or built(kind)


def noted() -> dict[str, str]:
    """What `make push` noted of the images that it pushed last, by kind, and their commit; nothing if it has not run.
    Raises DataError if it cannot be read.
    """
    if not PUSHED.is_file():
        return {}
    try:
        digests = json.loads(PUSHED.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {PUSHED}: {' '.join(str(error).split())}; {AGAIN}") from error
    if not (isinstance(digests, dict) and all(isinstance(image, str) for image in digests.values())):
        raise DataError(f"{PUSHED} does not hold the digests of the images; {AGAIN}")
    return digests


CPU = built("cpu")
CUDA = built("cuda")
