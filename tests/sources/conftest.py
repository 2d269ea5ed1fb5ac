"""Small inputs that the tests of the sources write for themselves, and a way to load a source from them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from longtail.sources.collection import Collection, Pixels, Request, Source
from longtail.sources.problems import Problems


@dataclass
class Loaded:
    collection: Collection
    problems: Problems
    pixels: Pixels

    @property
    def samples(self) -> pd.DataFrame:
        return self.collection.samples

    @property
    def classes(self) -> list[str]:
        return self.collection.tasks[0].classes

    @property
    def report(self) -> str:
        return "\n".join(self.problems.found)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def load(root: Path, tmp_path: Path) -> Callable[..., Loaded]:
    def load(source: Source, shape: tuple[int, int, int] = (8, 8, 3), workers: int = 2, seed: int = 0) -> Loaded:
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        problems = Problems()
        collection = source.load(root, Request(shape, scratch, workers, seed, problems))
        pixels = np.concatenate([np.empty((0, *shape), np.uint8), *collection.images])
        assert len(pixels) == len(collection.samples)
        return Loaded(collection, problems, pixels)

    return load


@pytest.fixture
def draw(root: Path) -> Callable[..., Path]:
    """Write an image of one colour below the data root, noisy on request so that it has some bytes to truncate."""

    def draw(name: str, colour: tuple[int, int, int] = (255, 0, 0), size: int = 16, noisy: bool = False) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((size, size, 3), colour, np.uint8)
        if noisy:
            pixels = np.random.default_rng(0).integers(0, 256, pixels.shape, np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return draw


@pytest.fixture
def truncate() -> Callable[[Path], None]:
    return lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) and None


@pytest.fixture
def five_images(draw: Callable[..., Path]) -> None:
    for name in "abcde":
        draw(f"photos/{name}.png")


@pytest.fixture
def write(root: Path) -> Callable[[str], None]:
    """Write the text of labels.csv."""
    return lambda text: (root / "labels.csv").write_text(text, encoding="utf-8") and None
