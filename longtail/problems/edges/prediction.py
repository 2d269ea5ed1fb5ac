"""`longtail edges predict`: from image files to edge maps, a grey PNG each."""

from pathlib import Path

import numpy as np
from PIL import Image

from longtail.artifacts.lineage import Lineage, check_same_rows
from longtail.artifacts.outputs import written_whole
from longtail.artifacts.work import release, succeed
from longtail.data.jpeg import Pixels
from longtail.errors import DataError
from longtail.parameters import check_section
from longtail.progress import Advance
from longtail.rules.base import Floats
from longtail.sources.decoding import BadImageError, bounded_pillow, decode_own_size
from longtail.sources.deep_grey import DeepGrey
from longtail.sources.limits import Limits
from longtail.sources.quoting import listed, shown

DEEPEST = 65535  # white of a PNG of 16 bits


def predict_files(
    files: list[Path], dataset: Path, split: Path, index: Path, output: Path, settings: dict[str, object]
) -> str:
    """Write into the folder `output` a map of each image, under its name, and say so.

    Raises DataError, before anything is predicted, if a file is no image or smaller than a patch, two have one name,
    the output exists, the model or its data cannot be read, or the model is of other data.
    """
    try:
        from longtail.problems.edges.detector import Detector
    except ImportError as error:
        raise DataError(f"edges needs the package {error.name}: install longtail with its extra `torch`") from error
    from longtail.problems.edges.settings import Settings

    options = check_section("options", settings, Settings, "edges predict")
    if output.exists() or output.is_symlink():
        raise DataError(f"{shown(output)} exists; name a folder that does not")
    names = [file.stem for file in files]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"several images have the name {listed(twice)}, which is that of the map; give each once")
    inputs = {"dataset": dataset, "split": split, "index": index}
    check_same_rows("edges predict", {name: Lineage.read(path) for name, path in inputs.items()})
    detector = Detector.load(dataset, split, index, options)
    for file in files:
        height, width = _read(file, detector.channels).shape[:2]
        detector.check(height, width, shown(file))
    try:
        with written_whole({"output": output}, inputs.values()) as partial, Advance("edges", len(files)) as advance:
            partial["output"].mkdir(parents=True, exist_ok=True)
            for file in files:
                edge_map = detector.detect(_read(file, detector.channels))
                write_map(edge_map, partial["output"] / f"{file.stem}.png")
                advance.add()
        succeed([output])
    finally:
        release()
    return f"wrote {len(files)} maps into {output}"


def write_map(edge_map: Floats, file: Path) -> None:
    """Write a map H×W in 0 to 1 as a PNG of 16 bits."""
    Image.fromarray(np.round(edge_map * DEEPEST).astype(np.uint16)).save(file, format="PNG")


def _read(file: Path, channels: int) -> Pixels:
    try:
        with bounded_pillow(Limits()):
            return decode_own_size(file.read_bytes(), channels, DeepGrey())
    except BadImageError as error:
        why = f"{error.reason}: {shown(error.detail)}"
        raise DataError(f"cannot read {shown(file)}: {why}; give image files") from error
    except OSError as error:
        raise DataError(f"cannot read {shown(file)}: {error.strerror or shown(error)}; give image files") from error
