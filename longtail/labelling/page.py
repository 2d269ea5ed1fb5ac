"""The labelling page, and what a browser may load for it."""

import base64
import hashlib
import re
from importlib import resources


def read_page() -> tuple[bytes, str]:
    """The page, and its Content-Security-Policy: its one style and its one script, images and requests of its server,
    and nothing else.
    """
    page = (resources.files("longtail.labelling") / "page.html").read_bytes()
    style, script = (_only(kind, page) for kind in ("style", "script"))
    return page, (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src '{style}'; script-src '{script}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _only(kind: str, page: bytes) -> str:
    """The digest of the only element of a kind, as the policy has it."""
    (content,) = re.findall(rf"<{kind}>(.*?)</{kind}>".encode(), page, re.DOTALL)
    return f"sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}"
