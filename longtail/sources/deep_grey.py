"""Grey of more than 8 bits: which value is white. And colour of 16, of which Pillow gives the upper 8."""

import re
import threading
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from longtail.errors import DataError

BITS_PER_SAMPLE = 258  # the tags of a TIFF
PHOTOMETRIC = 262  # in which 0 is WhiteIsZero
DEEP = ("I", "F")  # and I;16, I;16B …
DEEP_COLOUR = re.compile(r"(RGB[AXa]?|LA);16[BLN]")  # what Pillow calls the bytes of a file, not of its pixels


@dataclass
class DeepGrey:
    """`white` is the value that becomes 255, of all images alike: what is as bright stays as bright.

    None takes what the files say: the bits of a TIFF, else 65535 of 16 bits. Cameras that measure 10 or 12 bits leave
    the rest of the 16 unused, and no file says so; therefore `check` refuses a collection that is dark throughout.
    """

    white: float | None = None
    brightest: float = field(default=0.0, init=False)
    assumed: float = field(default=0.0, init=False)
    brightest_colour: int | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def to_bytes(self, image: Image.Image) -> Image.Image:
        """The image in 8 bits, its transparent value white; as it is if it has no more. Raises ValueError for another
        value outside of 0 to `white`.
        """
        if not image.mode.startswith(DEEP):
            return image
        values = np.asarray(image)
        white = self.white or _said(image)
        transparent = image.info.get("transparency")
        opaque = True if transparent is None else values != transparent
        low, high = float(values.min(initial=0, where=opaque)), float(values.max(initial=0, where=opaque))
        if not (low >= 0 and high <= white):
            raise ValueError(f"its grey values reach from {low:g} to {high:g}, outside of 0 to `white`, {white:g}")
        if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == 0:  # Pillow inverts 8 bits and fewer alone
            values = white - values
            high = float(values.max(initial=0, where=opaque))
        with self._lock:
            if high / white >= self.brightest / (self.assumed or 1):
                self.brightest, self.assumed = high, white
        return Image.fromarray(np.where(opaque, np.rint(values * (255.0 / white)), 255).astype(np.uint8))

    def look(self, image: Image.Image) -> None:
        """Note how bright an image is that was opened and not yet decoded, if it has colours of 16 bits. Raises
        ValueError if `white` is to act on it: its lower 8 bits are lost.
        """
        if not any(DEEP_COLOUR.search(str(tile)) for tile in getattr(image, "tile", ())):
            return
        if self.white not in (None, 65535.0):
            raise ValueError(
                f"of colours of 16 bits the upper 8 are read alone, so `white`, {self.white:g}, cannot act on them: "
                "save it with 8 bits a channel"
            )
        high = int(np.asarray(image.convert("RGB")).max(initial=0))
        with self._lock:
            self.brightest_colour = max(high, self.brightest_colour or 0)

    def check(self) -> None:
        """Raise DataError if `white` was taken from the files, and not one image reaches half of it."""
        if self.white is None and self.brightest_colour is not None and self.brightest_colour < 128:
            raise DataError(
                f"no colour image of 16 bits a channel is brighter than {256 * self.brightest_colour + 255} of 65535: "
                "all of them would be nearly black. Save them with 8 bits a channel, since only the upper 8 of 16 are "
                "read; `white: 65535` beside `image_shape` if they are so dark"
            )
        if self.white is None and 0 < self.brightest < self.assumed / 2:
            likely = 2 ** int(self.brightest).bit_length() - 1
            raise DataError(
                f"the brightest value of all grey images with more than 8 bits is {self.brightest:g} of "
                f"{self.assumed:g}: all of them would be nearly black. Say which value is white with `white: {likely}` "
                f"beside `image_shape`; `white: {self.assumed:g}` if they are so dark"
            )


def _said(image: Image.Image) -> float:
    if image.mode.startswith("I;16"):
        bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (16,))
        return float(2 ** int(bits[0] if isinstance(bits, tuple) else bits) - 1)
    if image.format == "PPM":
        return 65535.0  # Pillow has scaled the file's own greatest value to this
    raise ValueError(
        f"pixels of mode {image.mode!r} have no defined range; say with `white`, beside `image_shape`, which value "
        "is white, or save it with 8 or 16 bits"
    )
