"""How the trainings of an experiment are optimised, in words."""

from pathlib import Path
from typing import Any

import pytest
from few_digits import MATRIX

from experiments.matrix import Matrix, merge, read_matrix
from experiments.trainings import WIDTH, trainings_in_words

LONG = {"fits": {"softmax": {"optimisation": {"image_passes": 512}}}}


def said(**change: Any) -> str:
    return " ".join(" ".join(line.split()) for line in trainings_in_words(Matrix.model_validate(merge(MATRIX, change))))


def test_each_training_has_its_optimiser_schedule_rate_and_length_and_who_differs_in_what() -> None:
    assert said() == (
        "- `softmax`: sgd, cosine schedule, learning rate 0.01, 512 image passes; `joint`: 256 image passes. "
        "- `r1`: sgd, cosine schedule, learning rate 0.01, 256 image passes. "
        "- `crl`: sgd, cosine schedule, learning rate 0.01, 512 image passes."
    )


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"optimiser": "adamw"}, "adamw"),
        ({"schedule": "constant", "learning_rate": 0.5}, "constant schedule, learning rate 0.5"),
        ({"momentum": 0.5}, None),
    ],
)
def test_a_method_that_differs_is_named_with_what_differs(own: dict[str, Any], words: str | None) -> None:
    other = {"model": "softmax", "change": merge(LONG, {"fits": {"softmax": {"optimisation": own}}})}
    found = said(methods={"other": other})
    assert (f"`other`: {words}" in found) if words else ("`other`" not in found)


def test_a_setting_that_differs_is_named() -> None:
    changed = {"40 %": {"fits": {"crl": {"optimisation": {"learning_rate": 0.2}}}}}
    assert "`crl, 40 %`: learning rate 0.2" in said(settings=changed)


def test_a_schedule_over_the_rounds_is_named() -> None:
    assert "- `r1`: sgd, cosine schedule over 3 rounds, learning rate 0.01" in said(
        base={"train": {"schedule_rounds": 3, "patience": 3}}
    )


@pytest.mark.parametrize("file", sorted(Path("experiments").glob("*.yaml")), ids=lambda file: file.stem)
def test_every_training_of_every_experiment_is_named_once_in_lines_of_prose(file: Path) -> None:
    matrix = read_matrix(file)
    lines = trainings_in_words(matrix)
    text = " ".join(lines)
    for training in {name for cell in matrix.cells() for name in cell.trainings}:
        assert sum(f"`{training}`" in line.partition(":")[0] for line in lines) == 1
    assert max(len(part) for line in lines for part in line.splitlines()) <= WIDTH
    assert "schedule" in text
