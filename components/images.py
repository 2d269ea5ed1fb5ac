"""The images that components run in.

They are LONGTAIL_CPU_IMAGE and LONGTAIL_CUDA_IMAGE, else what `make push` pushed last, else what `make images` built.
"""

import json
import os
from pathlib import Path

PUSHED = Path(__file__).parents[1] / "docker" / "images.json"


def reference(kind: str) -> str:
    """The reference of the image `kind` ("cpu" or "cuda")."""
    pushed = json.loads(PUSHED.read_text()) if PUSHED.is_file() else {}
    return os.environ.get(f"LONGTAIL_{kind.upper()}_IMAGE") or pushed.get(kind) or f"longtail-{kind}:local"


CPU = reference("cpu")
CUDA = reference("cuda")
