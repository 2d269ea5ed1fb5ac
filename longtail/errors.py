"""The one exception for input that the user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager


class DataError(Exception):
    """Bad input: each sentence says what is wrong, in which file and row, and what to do."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(*sentences)
        self.sentences = sentences

    def __str__(self) -> str:
        if len(self.sentences) == 1:
            return self.sentences[0]
        return f"{len(self.sentences)} problems:" + "".join(f"\n  {sentence}" for sentence in self.sentences)


class Faults:
    """What several checks find wrong, told together: no check waits until what another found is mended."""

    def __init__(self) -> None:
        self._found: dict[str, None] = {}

    @contextmanager
    def collected(self) -> Iterator[None]:
        """A check: a DataError ends this block, and no more."""
        try:
            yield
        except DataError as error:
            self._found |= dict.fromkeys(error.sentences)

    def settle(self) -> None:
        """Raise DataError with everything that was found, if anything was."""
        if self._found:
            raise DataError(*self._found)
