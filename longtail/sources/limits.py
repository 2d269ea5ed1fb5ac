"""How large an input may be: what is beyond is damage or a trap, and is named before memory or disk are full."""

from pydantic import BaseModel, Field

MEGA = 10**6


class Limits(BaseModel, extra="forbid"):
    """Megabytes of one file, megapixels of one image, and how many times its size a compressed file may inflate to."""

    file_megabytes: float = Field(512, gt=0)
    image_megapixels: float = Field(100, gt=0)
    inflation: float = Field(200, ge=1)

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

    def inflated(self, size: int) -> int:
        """The most bytes to which a compressed file of `size` bytes may inflate."""
        return int(self.inflation * max(size, MEGA))

    @property
    def inflation_message(self) -> str:
        """What is said of a compressed file beyond that."""
        return (
            f"inflates to more than {self.inflation:g} times its size; "
            "raise `limits.inflation` if the file is right, or pack it without compression"
        )
