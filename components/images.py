"""The images that components run in: LONGTAIL_CPU_IMAGE and LONGTAIL_CUDA_IMAGE, or what was built or pushed."""

import json
import os
from pathlib import Path
from typing import Literal

Kind = Literal["cpu", "cuda"]
PUSHED = Path(__file__).parents[1] / "docker" / "images.json"


def built(kind: Kind) -> str:
    """The image on this machine: what `make images` built last."""
    return os.environ.get(f"LONGTAIL_{kind.upper()}_IMAGE") or f"longtail-{kind}:local"


def pushed(kind: Kind) -> str:
    """The image for a cluster: what `make push` pushed last, by digest; if nothing was, that of this machine."""
    digests = json.loads(PUSHED.read_text(encoding="utf-8")) if PUSHED.is_file() else {}
    return os.environ.get(f"LONGTAIL_{kind.upper()}_IMAGE") or digests.get(kind) or built(kind)


CPU = built("cpu")
CUDA = built("cuda")
