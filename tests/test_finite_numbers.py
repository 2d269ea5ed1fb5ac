"""No parameter is infinite or NaN, which YAML can write: no upper bound of a field keeps them out."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from longtail.errors import DataError
from longtail.methods.catalogue import CATALOGUE, params_class
from longtail.parameters import check_section
from longtail.stages.contract import params_model

FITS = params_model(importlib.import_module("longtail.stages.fit").run)
TRAIN = params_model(importlib.import_module("longtail.stages.train").run)


def numbers() -> Iterator[Any]:
    """Every number of every method, and some of what stands beside it."""
    for kind in CATALOGUE:
        for name, field in params_class(kind).model_fields.items():
            if field.annotation in (float, float | None):
                yield pytest.param({"method": {"kind": kind, name: ...}}, id=f"{kind}.{name}")
    for name in ("learning_rate", "weight_decay", "clip"):
        yield pytest.param({"optimisation": {name: ...}}, id=name)
    yield pytest.param({"optimisation": {"augmentation": {"rotate": ...}}}, id="augmentation.rotate")
    yield pytest.param({"optimisation": {"augmentation": {"noise": ...}}}, id="augmentation.noise")
    yield pytest.param({"method": {"kind": "softmax", "mixup": {"kappa": ...}}}, id="mixup.kappa")
    yield pytest.param({"method": {"kind": "lmle", "margins": {"g1": ..., "g2": 0.1, "g3": 0.1}}}, id="margins.g1")


def filled(section: Any, value: Any) -> Any:
    """The section with the value where it has a gap."""
    if isinstance(section, dict):
        return {name: filled(one, value) for name, one in section.items()}
    return value if section is ... else section


@pytest.mark.parametrize("text", [".inf", ".nan", "inf", "1.0e+999"])
@pytest.mark.parametrize("section", list(numbers()))
def test_a_number_without_end_is_refused_by_name(section: dict[str, Any], text: str) -> None:
    values = filled(section, yaml.safe_load(text))
    values["optimisation"] = {"iterations": 5} | values.get("optimisation", {})
    needs_table = CATALOGUE[values.get("method", {}).get("kind", "softmax")].needs_table
    with pytest.raises(DataError, match=r"^params\.yaml: fits\.a"):
        check_section(
            "fits.a",
            {"name": "a", **values} if not needs_table else values,
            TRAIN if needs_table else FITS,
            "params.yaml",
        )
