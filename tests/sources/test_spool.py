"""Decoded images wait on the disk: those that are kept come back in order, whatever the others were."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.data import jpeg
from longtail.sources.collection import Pixels, Request
from longtail.sources.decoding import BadImageError
from longtail.sources.problems import Problems
from longtail.sources.spool import blocks, spool

SHAPE = (6, 5, 3)
KINDS = ("kept", "left out", "bad")


def image(i: int) -> Pixels:
    return np.random.default_rng(i).integers(0, 256, SHAPE, np.uint8)


@pytest.mark.parametrize("quality", [None, 90])
@settings(deadline=None)
@given(st.lists(st.sampled_from(KINDS), max_size=40), st.integers(1, 3))
def test_what_is_kept_comes_back_in_order(quality: int | None, kinds: list[str], workers: int) -> None:
    def read(i: int) -> Pixels:
        if kinds[i] == "bad":
            raise BadImageError("broken image", f"number {i}")
        return image(i)

    kinds_of = np.array(kinds, object)
    with TemporaryDirectory() as folder:
        request = Request(SHAPE, Path(folder), workers, problems=Problems("skip"), jpeg_quality=quality)
        kept, good = spool(read, [f"image {i}" for i in range(len(kinds))], request)
        assert good.tolist() == [kind != "bad" for kind in kinds]
        found = [one for block in blocks(kept, kinds_of == "kept") for one in block]
        assert list(Path(folder).iterdir()) == []
    expected = [image(i) for i in np.flatnonzero(kinds_of == "kept")]
    assert request.problems.counts.total() == kinds.count("bad")
    if quality is None:
        assert np.array_equal(np.array(found), np.array(expected))
    else:
        assert found == [jpeg.encode(pixels, quality) for pixels in expected]
