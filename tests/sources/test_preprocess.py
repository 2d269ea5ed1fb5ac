"""From a file to the pixels of the packed dataset: `preprocess` gives to the byte what `ingest` has stored."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from longtail.data.dataset import PackedDataset
from longtail.data.preprocessing import Fit
from longtail.sources.decoding import BadImageError, preprocess
from longtail.stages.ingest import Params, run


def picture(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Smooth colours with some noise, as photographs have them."""
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    noise = rng.integers(0, 20, (height, width, 3), np.uint8)
    return Image.fromarray(np.minimum(np.asarray(coarse), 235) + noise)


def turned(orientation: int) -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


def files(rng: np.random.Generator, width: int, height: int) -> dict[str, bytes]:
    """Encoded images of every kind, by a name of their own: 30."""
    made: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        made[f"{mode}.png"] = (picture(rng, width, height).convert(mode), "PNG", {})
    for mode in ("L", "RGB", "CMYK"):
        made[f"{mode}.jpg"] = (picture(rng, width, height).convert(mode), "JPEG", {})
    for orientation in range(1, 9):
        made[f"turned {orientation}.jpg"] = (picture(rng, width, height), "JPEG", turned(orientation))
        made[f"turned {orientation}.png"] = (picture(rng, width, height), "PNG", turned(orientation))
    deep = rng.integers(0, 2**16, (height, width), np.uint16)
    made["deep.png"] = (Image.fromarray(deep), "PNG", {})
    made["deep.tif"] = (Image.fromarray(deep), "TIFF", {})
    made["oblong.jpg"] = (picture(rng, 5 * width, height), "JPEG", {"quality": 60})
    made["large.jpg"] = (picture(rng, 9 * width, 8 * height), "JPEG", {})
    made["small.webp"] = (picture(rng, 3, 2), "WEBP", {})
    return {name: _bytes(image, kind, options) for name, (image, kind, options) in made.items()}


def _bytes(image: Image.Image, kind: str, options: dict[str, Any]) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


@pytest.mark.parametrize("storage", ["raw", "jpeg"])
@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 150),
    st.integers(1, 150),
    st.tuples(st.integers(1, 70), st.integers(1, 70), st.sampled_from([1, 3])),
    st.integers(1, 100),
)
def test_a_file_has_the_pixels_of_the_packed_dataset(
    storage: str, fit: Fit, width: int, height: int, shape: tuple[int, int, int], quality: int
) -> None:
    encoded = files(np.random.default_rng([width, height]), width, height)
    assert len(encoded) == 30
    asked = {"storage": storage, **({"quality": quality} if storage == "jpeg" else {})}
    with TemporaryDirectory() as name:
        folder = Path(name)
        for number, (file, data) in enumerate(encoded.items()):
            (folder / "data" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
            (folder / "data" / "ab"[number % 2] / file).write_bytes(data)
        params = Params(source={"kind": "folder", "fit": fit}, image_shape=shape, **asked)
        run(folder / "data", folder / "packed", params=params)
        packed = PackedDataset.open(folder / "packed")
        how = packed.info.preprocessing
        assert how is not None
        pixels = packed.images(np.arange(30))
        for source, stored in zip(packed.samples["source"], pixels, strict=True):
            assert (preprocess(encoded[source.partition("/")[2]], how) == stored).all(), source


def test_what_is_no_image_is_refused_as_in_ingest() -> None:
    how = Params(source={"kind": "folder"}, image_shape=(224, 224, 3)).preprocessing("stretch")
    assert how.jpeg_quality == 95
    with pytest.raises(BadImageError, match="not an image"):
        preprocess(b"torn", how)
