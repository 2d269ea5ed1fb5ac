"""BSDS500: photographs in which several people have drawn boundaries, as patches with and without an edge."""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from longtail.data.photographs import Bools, Cuts, Photograph
from longtail.errors import DataError
from longtail.sources.classes import make_task
from longtail.sources.collection import Collection, Ints, Request, Source
from longtail.sources.decoding import BadImageError, bounded_pillow, decode_own_size, read_bytes
from longtail.sources.files import Files, open_files, through_wrapping
from longtail.sources.parallel import ordered_map
from longtail.sources.quoting import shown

SUBSETS = {"train": "train", "val": "validation", "test": "test"}
GIVEN_UP = "the others have no patch in some subset, or no training patch is nearest to them"
IMAGES, ANNOTATIONS = "images", "groundTruth"
NO_EDGE = "none"
PROVENANCE = (
    "BSDS500 (Arbeláez, Maire, Fowlkes and Malik, Contour Detection and Hierarchical Image Segmentation, TPAMI 2011)"
)


class Drawn(NamedTuple):
    """A photograph, and its patches (n, 3) with an edge and without: annotator, row, column."""

    photograph: Photograph
    edges: Ints
    others: Ints


class Bsds500(Source):
    """BSDS500 in a folder, zip or tar at `path`, which holds `images/train/*.jpg` and `groundTruth/train/*.mat`, and so
    for val and test.

    Of each photograph `patches` are drawn, of those of val and test `held_out` where that is given: half of them with
    a boundary pixel of an annotator at the centre, the others farther than `clearance` pixels from whatever anybody has
    drawn. The patches with an edge have `classes` classes, by k-means on what was drawn; all others are of the
    background class. The patches of a photograph are one group. `photographs` is how many of each subset are read;
    null: all.
    """

    kind: Literal["bsds500"]
    path: str = "."
    patches: int = Field(400, ge=2)
    held_out: int | None = Field(None, ge=2)
    classes: int = Field(150, ge=2)
    clearance: float = Field(2.0, ge=0, description="pixels")
    photographs: int | None = Field(None, ge=1)
    licence: str = Field(
        "non-commercial research and education", description="of the images; the report and MLflow show it"
    )

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""
        side = _side(request)
        found = through_wrapping(root / self.path, request, lambda path: _subsets(open_files(path, request)))
        if found is None:
            raise DataError(
                f"{shown(root / self.path)} has no folder `{IMAGES}/train` and is not BSDS500, which has "
                f"{IMAGES} and {ANNOTATIONS}, and in both train, val and test"
            )
        _, files = found
        pairs = self._pairs(files, request)
        request.problems.stop_before_decoding()

        def read(number: int) -> Drawn | None:
            return self._read(files, *pairs[number], side, number, request)

        with bounded_pillow(request.limits):
            results = ordered_map(read, range(len(pairs)), workers=request.workers, title="photographs")
            drawn = [one for one in results if one is not None]
        request.problems.stop()
        return self._collection(drawn, request)

    def _pairs(self, files: Files, request: Request) -> list[tuple[str, str, str]]:
        """The subset of each photograph, its file, and that of its annotations; none of a name that several have."""
        pairs = [pair for subset in SUBSETS for pair in _annotated(files, subset, request)]
        counts = Counter(Path(image).stem for _, image, _ in pairs)
        for _, image, _ in pairs:
            if (count := counts[Path(image).stem]) > 1:
                request.problems.add(
                    "name that several photographs have",
                    f"{files.path}/{image}",
                    f"{count} are called {Path(image).stem}",
                    "rename them: edge maps have the photographs' names",
                )
        alone = [pair for pair in pairs if counts[Path(pair[1]).stem] == 1]
        return [pair for subset in SUBSETS for pair in [one for one in alone if one[0] == subset][: self.photographs]]

    def _read(
        self, files: Files, subset: str, image: str, mat: str, side: int, number: int, request: Request
    ) -> Drawn | None:
        """A photograph and its patches; None if something is wrong with it, which is added to the problems."""
        from longtail.problems.edges.annotations import read_boundaries
        from longtail.problems.edges.sampling import draw_places
        from longtail.problems.edges.structure import SIDE

        try:
            pixels = decode_own_size(read_bytes(files.read, image), request.image_shape[2], request.deep_grey)
            boundaries = read_boundaries(files.path / mat, read_bytes(files.read, mat))
        except BadImageError as error:
            request.problems.add(error.reason, f"{files.path}/{image}", error.detail)
            return None
        except DataError as error:
            request.problems.add("annotation not readable", f"{files.path}/{mat}", str(error))
            return None
        if fault := _fault(pixels.shape[:2], boundaries, max(side, SIDE)):
            request.problems.add(*fault[:1], f"{files.path}/{image}", fault[1])
            return None
        random = np.random.default_rng([request.seed, number])
        count = self.patches if subset == "train" else self.held_out or self.patches
        edges, others = draw_places(boundaries, count // 2, self.clearance, random)
        name = f"{subset}/{Path(image).stem}"
        return Drawn(Photograph(name, SUBSETS[subset], pixels, boundaries), edges, others)

    def _collection(self, drawn: list[Drawn], request: Request) -> Collection:
        from longtail.problems.edges.structure import classify, describe_places

        if not any(len(one.edges) for one in drawn if one.photograph.subset == "train"):
            raise DataError(
                "no photograph of train has both boundary pixels and pixels away from them; nothing to train on"
            )
        subsets = np.concatenate([np.full(len(one.edges), one.photograph.subset) for one in drawn])
        descriptors = describe_places([(one.photograph.annotations, one.edges) for one in drawn], request.workers)
        codes = classify(descriptors, subsets, self.classes, request.seed)
        if (made := int(codes.max()) + 1) < self.classes:
            print(f"ingest: {made} classes of edges, and not {self.classes}: {GIVEN_UP}", file=sys.stderr)
        names = [f"edge-{code:03d}" for code in range(1, codes.max() + 2)]
        labels = iter(np.array(names, dtype=object)[codes])
        places, rows = [], []
        for number, one in enumerate(drawn):
            both = np.concatenate([one.edges, one.others])
            places.append(np.column_stack([np.full(len(both), number), both]))
            for kind, at in (("edge", one.edges), ("none", one.others)):
                for annotator, y, x in at.tolist():
                    label = next(labels) if kind == "edge" else NO_EDGE
                    rows.append(
                        (
                            f"{one.photograph.name}/{y}-{x}-{annotator}",
                            one.photograph.name,
                            one.photograph.subset,
                            label,
                        )
                    )
        samples = pd.DataFrame(rows, columns=["id", "group", "subset", "edge"], dtype=object)
        samples["source"] = samples["group"]
        cuts = Cuts((one.photograph for one in drawn), np.concatenate(places).astype(np.int32))
        task = make_task("edge", [NO_EDGE, *names], NO_EDGE)
        return Collection(samples, [task], cuts, PROVENANCE, self.licence, fit=None)


def _side(request: Request) -> int:
    """The side of a patch. Raises DataError where patches are no squares, or would be kept as JPEGs."""
    height, width, _ = request.image_shape
    if height != width:
        raise DataError(f"patches are squares: `ingest.image_shape` says {height}×{width}; 45×45 is DeepContour's")
    if request.jpeg_quality is not None:
        raise DataError("patches are cut out of photographs, and not kept as JPEGs: set `ingest.storage` to raw")
    return height


def _subsets(files: Files) -> Files | None:
    return files if f"{IMAGES}/train" in files.folders else None


def _annotated(files: Files, subset: str, request: Request) -> list[tuple[str, str, str]]:
    """The photographs of a subset that have annotations, sorted by name; of what lacks its partner a problem each."""
    images = [name for name in files.names if re.fullmatch(rf"{IMAGES}/{subset}/[^/]+\.jpe?g", name)]
    drawn = {Path(name).stem: name for name in files.names if re.fullmatch(rf"{ANNOTATIONS}/{subset}/[^/]+\.mat", name)}
    pairs = []
    for image in sorted(images, key=lambda name: (Path(name).stem, name)):
        stem = Path(image).stem
        if stem in drawn:
            pairs.append((subset, image, drawn[stem]))
        else:
            lacks = f"there is no {ANNOTATIONS}/{subset}/{stem}.mat"
            request.problems.add("photograph without annotation", f"{files.path}/{image}", lacks)
    for stem in sorted(drawn.keys() - {Path(image).stem for image in images}):
        request.problems.add("annotation without photograph", f"{files.path}/{drawn[stem]}", "there is no image")
    return pairs


def _fault(size: tuple[int, ...], boundaries: Bools, side: int) -> tuple[str, str] | None:
    """What is wrong with a photograph: the reason, and the detail."""
    height, width = size
    if boundaries.shape[1:] != (height, width):
        of_map = f"{boundaries.shape[1]}×{boundaries.shape[2]}"
        return (
            "annotation of another size",
            f"the photograph is {height}×{width} (height×width), what was drawn {of_map}",
        )
    if min(height, width) < side:
        return "photograph smaller than a patch", f"{height}×{width}, where a patch has {side}×{side}"
    return None
