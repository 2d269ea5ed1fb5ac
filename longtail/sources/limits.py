"""How large an input may be: what is beyond is damage or a trap, and is named before memory or disk are full."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, Field

from longtail.errors import DataError

MEGA = 10**6


class Reader(Protocol):
    """Whatever gives the next bytes."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


class Limits(BaseModel, extra="forbid"):
    """Megabytes of a file, megapixels of an image, and to how many times its size a compressed file may inflate."""

    file_megabytes: float = Field(1000, gt=0, description="largest file that is read")
    image_megapixels: float = Field(100, gt=0, description="largest image that is decoded")
    inflation: float = Field(200, ge=1, description="to how many times its size a compressed file may inflate")

    def check_file(self, size: int) -> None:
        """Raise OSError for a file of more bytes than may be read at once."""
        if size > self.file_megabytes * MEGA:
            raise OSError(
                f"{size / MEGA:,.0f} MB where {self.file_megabytes:g} are allowed; "
                "raise `limits.file_megabytes` if the file is right"
            )

    @property
    def pixels(self) -> int:
        """The most pixels of an image."""
        return int(self.image_megapixels * MEGA)

    def inflated(self, stream: Reader, size: int, path: Path) -> Iterator[bytes]:
        """Yield the blocks of a stream that inflates `path`, a file of `size` bytes.

        Raises DataError when they are more than the limit allows; a file of less than a megabyte counts as one.
        """
        left = self.inflation * max(size, MEGA)
        while block := stream.read(MEGA):
            left -= len(block)
            if left < 0:
                raise DataError(
                    f"{path} inflates to more than {self.inflation:g} times its size; "
                    "raise `limits.inflation` if the file is right, or give it uncompressed"
                )
            yield block
