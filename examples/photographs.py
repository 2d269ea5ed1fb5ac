"""Make a workspace in which `dvc repro` trains on stored features of a pretrained network: which picture is it from?

    python -m examples.photographs artifacts/example

The classes are photographs that scikit-image and scikit-learn ship, so nothing is downloaded. Samples are grey patches,
many of the first picture and few of the last. Training, validation and test patches come from different strips of a
picture, so that no pixel is in two of them.
"""

import shutil
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image

from examples.workspaces import put_code
from longtail.artifacts.files import remove
from longtail.execution import one_sentence

PHOTOGRAPHS = (
    *("astronaut", "brick", "cat", "coffee", "coins", "grass"),
    *("gravel", "hubble_deep_field", "immunohistochemistry", "moon", "retina", "rocket"),
)
PATCH = 96  # pixels a side
# Where in a picture the patches of each subset lie, as shares of its width; and how many a class has: a long tail.
STRIPS = {"train": (0.0, 0.5), "validation": (0.5, 0.75), "test": (0.75, 1.0)}
EVEN = {"validation": 15, "test": 30}
MOST, FEWEST = 60, 3


def photograph(name: str) -> npt.NDArray[np.uint8]:
    """A picture in grey, H×W, at least two patches high and a strip of test wider than one."""
    from skimage import data

    grey = Image.fromarray(getattr(data, name)()).convert("L")
    scale = max(1.0, 4 * PATCH * 1.25 / grey.width, 2 * PATCH / grey.height)
    return np.asarray(grey.resize((round(grey.width * scale), round(grey.height * scale)), Image.Resampling.BICUBIC))


def patches(
    picture: npt.NDArray[np.uint8], strip: tuple[float, float], count: int, random: np.random.Generator
) -> list[npt.NDArray[np.uint8]]:
    """So many patches of a vertical strip, anywhere in it."""
    left, right = (round(share * picture.shape[1]) for share in strip)
    x = random.integers(left, right - PATCH + 1, count)
    y = random.integers(0, picture.shape[0] - PATCH + 1, count)
    return [picture[top : top + PATCH, at : at + PATCH] for at, top in zip(x, y, strict=True)]


def write_photographs(folder: Path, seed: int = 0) -> None:
    """Write `train/`, `validation/` and `test/`, each with a folder of patches a class."""
    random = np.random.default_rng(seed)
    for rank, name in enumerate(PHOTOGRAPHS):
        picture = photograph(name)
        few = round(MOST * (FEWEST / MOST) ** (rank / (len(PHOTOGRAPHS) - 1)))
        for subset, strip in STRIPS.items():
            place = folder / subset / name
            place.mkdir(parents=True)
            for number, patch in enumerate(patches(picture, strip, EVEN.get(subset, few), random)):
                Image.fromarray(patch).save(place / f"{number:03d}.png")


def main(
    workspace: Annotated[Path, typer.Argument(help="directory to make, with the data, the code and params.yaml")],
) -> None:
    """Make the workspace anew, but for DVC's cache: what has not changed is not run again."""
    with one_sentence():
        put_code(workspace)
        remove(workspace / "photographs")
        write_photographs(workspace / "photographs")
        shutil.copyfile(Path(__file__).with_suffix(".yaml"), workspace / "params.yaml")


if __name__ == "__main__":
    typer.run(main)
