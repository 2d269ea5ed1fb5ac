"""Files of every format that Pillow writes, whole, cut, flipped and mutated: pixels or one clean problem."""

import io
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from longtail.data.dataset import PackedDataset
from longtail.stages.ingest import Params, run

COUNT = 400
MODES = ("RGB", "L", "P", "1", "RGBA", "CMYK", "I;16", "F", "LA", "I")


def written() -> dict[str, bytes]:
    """One file of each format and mode that Pillow writes."""
    Image.init()
    noise = np.random.default_rng(0).integers(0, 256, (40, 56, 4), np.uint8)
    files = {}
    for kind in sorted(Image.SAVE):
        for mode in MODES:
            data = io.BytesIO()
            try:
                Image.fromarray(noise).convert("L" if mode == "I;16" else "RGB").convert(mode).save(data, kind)
            except Exception:  # not every format has every mode
                continue
            files[f"{kind}-{mode.replace(';', '')}"] = data.getvalue()
    return files


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """The bytes cut, turned round, with bits flipped, or with a part removed, repeated or overwritten."""
    start, stop = sorted(random.integers(0, len(data) + 1, 2).tolist())
    early = int(random.integers(0, min(len(data), 200)))
    flipped = bytearray(data)
    for place in random.integers(0, len(data), 4):
        flipped[place] ^= 1 << int(random.integers(8))
    ways = [data[:stop], data[:start] + data[stop:], data[:stop] + data[start:], data[:start] + data[start:stop][::-1]]
    ways += [bytes(flipped), data[:early] + bytes([random.integers(256)]) + data[early + 1 :]]
    ways += [data[:early] + b"\xff" * 8 + data[early + 8 :], data[:early] + bytes(8) + data[early + 8 :]]
    return ways[int(random.integers(len(ways)))]


@pytest.mark.filterwarnings("error")
def test_a_folder_of_damaged_files_of_every_format_is_read_to_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    random, originals = np.random.default_rng(0), written()
    assert len({name.partition("-")[0] for name in originals}) >= 25
    names = sorted(originals)
    for i in range(COUNT):
        name = names[i % len(names)]
        data = originals[name] if i < len(names) else mutated(originals[name], random)
        path = tmp_path / "data" / "ab"[i % 2] / f"{i:03d}-{name}.img"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    source = {"kind": "folder"}
    params = Params(source=source, image_shape=(8, 8, 3), on_error="skip", white=65535, limits={"image_megapixels": 10})
    with caplog.at_level(logging.WARNING):
        scalars = run(tmp_path / "data", tmp_path / "out", params=params)
    left_out = sum(count for name, count in scalars.items() if name.startswith("left_out_"))
    assert len(PackedDataset.open(tmp_path / "out")) + left_out == COUNT
    assert left_out > 40
    assert scalars["images"] > 100
    assert "Traceback" not in caplog.text + capfd.readouterr().err
    assert all(len(line) < 700 for line in caplog.text.splitlines())
