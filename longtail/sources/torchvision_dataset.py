"""Any classification data set of torchvision, by name. Only this source needs torch, and imports it when it is used."""

import difflib
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image
from pydantic import Field

from longtail.data.preprocessing import Fit
from longtail.errors import DataError
from longtail.sources.classes import ClassName, make_task, ordered, without_empty_classes
from longtail.sources.collection import Bools, Collection, Ints, Pixels, Request, Source
from longtail.sources.decoding import damage_reported, decode, pixels_of, read_bytes
from longtail.sources.files import read_regular
from longtail.sources.quoting import listed, shown
from longtail.sources.spool import blocks, spool

Subset = Literal["train", "validation", "test"]
Encoded = Callable[[str | Path], bytes]


def _train_and_test() -> dict[Subset, str]:
    return {"train": "train", "test": "test"}


class TorchvisionDataset(Source):
    """`torchvision.datasets.<name>` at `path` (relative to the data), downloaded there on request.

    `splits` says which official subsets to read and what the data set's own `split` argument calls them; a data set
    that has `train` instead offers train and test. A data set with neither is read whole, with no official subset.
    `kwargs` are further arguments of its constructor. `classes` overrides the data set's own class names.
    """

    kind: Literal["torchvision"]
    name: str = Field(description="of the class in torchvision.datasets")
    path: str = "."
    download: bool = Field(False, description="fetch it where it is not there")
    splits: dict[Subset, str] = Field(default_factory=_train_and_test)
    kwargs: dict[str, Any] = Field(default_factory=dict)
    classes: list[ClassName] | None = None
    task: str = Field("label", description="name of the task")
    fit: Fit = "stretch"
    licence: str = Field("see the data set's own page", description="of the images; the report and MLflow show it")

    def load(self, root: Path, request: Request) -> Collection:
        """See `Source.load`."""

        # torchvision's own loader drops transparency; only the file says all that other sources read in it.
        def encoded(path: str | Path) -> bytes:
            return read_bytes(partial(read_regular, limits=request.limits), str(path))

        parts = self._open(root / self.path, encoded)
        items = [(subset, part, i) for subset, part in parts for i in range(len(part))]
        codes = np.full(len(items), -1, np.int64)
        ids = [f"{subset or 'all'}-{i:06d}" for subset, _, i in items]

        def read(row: int) -> Pixels:
            _, part, i = items[row]
            image, codes[row] = _read_item(self.name, part, i)
            if isinstance(image, bytes):
                return decode(image, request.image_shape, self.fit, request.deep_grey)
            with damage_reported():
                return pixels_of(image, request.image_shape, self.fit, request.deep_grey)

        pixels, good = spool(read, [f"{self.name} {sample}" for sample in ids], request)
        subsets = [subset for subset, _, _ in items]
        samples = pd.DataFrame({"id": ids, "source": ids, "group": ids, "subset": subsets}, dtype=object)
        names = self._class_names(parts[0][1], codes[good])
        good &= self._declared(codes, good, names, ids, request)
        samples = samples[good].assign(**{self.task: np.array(names, dtype=object)[codes[good]]})
        task = without_empty_classes(samples, make_task(self.task, names), self.name, request.problems)
        provenance = f"torchvision.datasets.{self.name}"
        return Collection(samples, [task], blocks(pixels, good), provenance, self.licence, fit=self.fit)

    def _open(self, path: Path, encoded: Encoded) -> list[tuple[Subset | None, Any]]:
        make = _constructor(self.name)
        arguments = _arguments(make)
        common = {**self.kwargs, **({"download": self.download} if "download" in arguments else {})}
        if "train" in arguments and "train" not in self.kwargs:
            choices: list[tuple[Subset | None, dict[str, Any]]] = [
                ("train", {"train": True}),
                ("test", {"train": False}),
            ]
            choices = [(subset, choice) for subset, choice in choices if subset in self.splits]
            if len(choices) < len(self.splits) or not choices:
                raise DataError(
                    f"torchvision.datasets.{self.name} has the subsets train and test alone; name these in `splits`, "
                    f"which has {listed(self.splits)}"
                )
        elif "split" in arguments and "split" not in self.kwargs:
            choices = [(subset, {"split": value}) for subset, value in self.splits.items()]
        else:
            choices = [(None, {})]
        if "loader" in arguments:
            make = partial(make, loader=encoded)
        return [(subset, self._make(make, path, {**common, **choice})) for subset, choice in choices]

    def _make(self, make: Any, path: Path, arguments: dict[str, Any]) -> Any:
        try:
            return make(root=str(path), **arguments)
        except (RuntimeError, OSError, TypeError, ValueError, KeyError, ImportError) as error:
            raise DataError(
                f"torchvision.datasets.{self.name} cannot be opened in {path} with {arguments}: {shown(error, 500)} "
                "(`download: true` fetches it where it is offered; `splits` and `kwargs` set its arguments)"
            ) from error

    def _class_names(self, part: Any, codes: Ints) -> list[str]:
        if self.classes is not None:
            return self.classes
        own = getattr(part, "classes", None)
        if isinstance(own, list | tuple) and all(isinstance(name, str) for name in own) and len(set(own)) == len(own):
            return list(own)
        return ordered({str(code) for code in range(int(codes.max(initial=0)) + 1)})

    def _declared(
        self,
        codes: Ints,
        good: Bools,
        names: list[str],
        ids: list[str],
        request: Request,
    ) -> Bools:
        declared = (codes >= 0) & (codes < len(names))
        for row in np.flatnonzero(good & ~declared):
            detail = f"label {codes[row]}, {len(names)} classes declared"
            request.problems.add("label outside the declared classes", f"{self.name} {ids[row]}", detail)
        return declared


def _constructor(name: str) -> Any:
    try:
        from torchvision import datasets
    except ImportError as error:
        raise DataError(f"the torchvision source needs torch and torchvision: {error}") from error
    known = set(datasets.__all__) - {"FakeData", "VisionDataset"}
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DataError(f"torchvision has no data set {name!r}{hint}")
    return getattr(datasets, name)


def _arguments(make: Any) -> set[str]:
    """The names of the constructor's arguments, with those that its base classes take through **kwargs."""
    found: set[str] = set()
    for cls in make.__mro__:
        parameters = inspect.signature(cls.__init__).parameters
        found |= set(parameters)
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
            break
    return found


def _read_item(name: str, part: Any, i: int) -> tuple[Image.Image | bytes, int]:
    with damage_reported():
        image, target = part[i]
    if not isinstance(image, Image.Image | bytes) or not isinstance(target, int | np.integer):
        raise DataError(f"torchvision.datasets.{name} gives no image with one class: {type(image)}, {type(target)}")
    return image, int(target)
