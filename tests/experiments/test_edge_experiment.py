"""An experiment of edges from photographs to its table; Sobel's and Canny's maps; and differences of ODS."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from annotated_photographs import SIZE, photograph, write_photographs
from edge_files import outlines
from typer.testing import CliRunner

from experiments.edges import GRADIENTS, difference, ods
from experiments.edges import main as run_edges
from longtail.errors import DataError
from longtail.problems.edges.evaluation.case import Case
from longtail.problems.edges.evaluation.evaluation import Evaluation, evaluate
from longtail.problems.edges.evaluation.settings import Settings

OPTIMISATION = {"image_passes": 400, "optimiser": "adamw", "learning_rate": 0.002}
SECTIONS = {
    "cluster_size": 20,
    "network": {"embedding": 8},
    "search": {"neighbours": [1, 3]},
    "ingest": {
        "source": {"kind": "bsds500", "path": "photographs", "patches": 60, "classes": 3},
        "image_shape": [35, 35, 3],
    },
    "fits": {"softmax": {"after": "start", "batch": 24, "sampling": "natural", "optimisation": OPTIMISATION}},
    "index": {"rules": ["cluster_wise", "head", "head_adjusted"]},
    "detect": {"stride": 6, "transfer": "clusters", "neighbours": 2},
    "score": {"thresholds": 5},
}
METHODS = {
    "clusters": {"model": "softmax"},
    "classes": {"model": "softmax", "change": {"detect": {"transfer": "classes", "neighbours": None}}},
    "less the log prior": {
        "model": "softmax",
        "change": {"detect": {"transfer": "classes", "neighbours": None, "rule": "head_adjusted"}},
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, and the YAML of an experiment on them."""
    root = tmp_path_factory.mktemp("edges")
    write_photographs(root / "photographs", each=3)
    settings = {"all": {}}
    matrix = {"title": "Edges", "seeds": [0], "baseline": "clusters", "base": SECTIONS, "settings": settings}
    (root / "small.yaml").write_text(yaml.safe_dump(matrix | {"methods": METHODS}, sort_keys=False), encoding="utf-8")
    return root


def run(folder: Path, *words: str, name: str = "small", code: int = 0) -> str:
    import typer

    app = typer.Typer()
    app.command()(run_edges)
    places = [str(folder / f"{name}.yaml"), "--data", str(folder), "--work", str(folder / "work")]
    done = CliRunner().invoke(app, [*places, *words])
    assert done.exit_code == code, done.output
    return done.output


def variant(folder: Path, name: str, **change: object) -> None:
    """The YAML of an experiment that differs in some keys."""
    matrix = yaml.safe_load((folder / "small.yaml").read_text(encoding="utf-8"))
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(matrix | change, sort_keys=False), encoding="utf-8")


def test_every_row_and_both_gradients_are_scored_once(folder: Path) -> None:
    said = run(folder)
    found = pd.read_csv(folder / "work/small/edge_maps.csv")
    assert found["method"].tolist() == [*METHODS, *GRADIENTS]
    assert found[["ODS", "OIS", "AP"]].stack().between(0, 1).all()
    assert found["ODS, to clusters"].tolist()[0] == "–"
    assert found["NMS"].tolist() == ["structured_edges"] * (len(METHODS) + 1) + ["none"]  # Canny's are thin
    assert "| NMS" in said
    assert all(method in said for method in METHODS)
    for name in ("precision_recall.svg", "worst.png"):
        assert (folder / "work/small" / name).stat().st_size > 0
    counts = sorted((folder / "work/small/counts").iterdir())
    run(folder, "--methods", "classes")  # of what is there
    assert sorted((folder / "work/small/counts").iterdir()) == counts


def test_a_method_that_is_none_is_told_beside_one_that_is(folder: Path) -> None:
    said = run(folder, "--methods", "classes", "--methods", "classses", code=1)
    assert "has no methods ['classses']" in said


@pytest.mark.parametrize("change", [{"subset": "validation"}, {"photographs": 2}])
def test_rows_on_other_photographs_are_not_compared(folder: Path, change: dict[str, object]) -> None:
    other = {"model": "softmax", "change": {"detect": change}}
    variant(folder, "others", methods={"clusters": METHODS["clusters"], "elsewhere": other})
    said = " ".join(run(folder, name="others", code=1).split())
    assert "'elsewhere' has maps of other photographs" in said
    assert "Traceback" not in said
    assert not (folder / "work/others/edge_maps.csv").exists()


def test_a_row_that_cannot_be_is_told_before_anything_is_trained(folder: Path) -> None:
    wrong = {"model": "softmax", "change": {"detect": {"transfer": "classes"}}}
    variant(folder, "wrong", methods={"clusters": METHODS["clusters"], "classes": wrong})
    said = run(folder, name="wrong", code=1)
    assert "classes, all, seed 0: detect: `neighbours` is of" in said
    assert "clusters: ODS" not in said


def test_a_table_is_of_one_setting(folder: Path) -> None:
    """Rows of the second took the place of the first's."""
    variant(folder, "two", settings={"all": {}, "coarser": {"detect": {"stride": 12}}})
    assert "has the settings ['all', 'coarser']" in run(folder, name="two", code=1)


def test_no_method_is_called_as_a_gradient_is(folder: Path) -> None:
    variant(folder, "sobel", methods=METHODS | {"Sobel": METHODS["classes"]})
    assert "has the methods ['Sobel']" in run(folder, name="sobel", code=1)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_high_on_boundaries(name: str) -> None:
    boundaries = outlines(SIZE, seed=3)
    found = GRADIENTS[name][0](photograph(boundaries))
    assert found.shape == boundaries.shape[1:]
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert 0 < found.max() <= 1
    near = np.any(boundaries, axis=0)
    assert found[near].mean() > 1.5 * found[~near].mean()


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_photograph_of_one_grey_has_no_edge(name: str) -> None:
    assert GRADIENTS[name][0](np.full((40, 50, 3), 127, np.uint8)).max() < 0.01


def maps_of(noise: float) -> Evaluation:
    """Maps of six photographs: what people drew, and noise on it."""
    rng = np.random.default_rng(1)
    cases = []
    for seed in range(6):
        boundaries = outlines((48, 60), seed=seed)
        edge_map = (1 - noise) * boundaries.mean(axis=0) + noise * rng.random(boundaries.shape[1:])
        cases.append(Case(str(seed), edge_map.astype(np.float32), boundaries))
    return evaluate(cases, Settings(thresholds=9), processes=1)


def test_a_difference_is_that_of_both_on_the_same_photographs() -> None:
    good, bad = maps_of(0.1), maps_of(0.8)
    gain, low, high = difference(good, bad)
    assert gain == pytest.approx(good.ods.f - bad.ods.f)
    assert 0 < low <= gain <= high
    assert difference(good, good) == (0, 0, 0)
    every = np.arange(6)
    assert ods(good.counts, every) == pytest.approx(good.ods.f)
    doubled = np.repeat(every, 2)
    assert ods(good.counts, doubled) == pytest.approx(good.ods.f)
    assert len(good.images) == 6
    assert min(point.f for point in good.images) > max(point.f for point in bad.images)


def test_without_a_photograph_named_the_sections_are_checked(folder: Path) -> None:
    from experiments.matrix import read_matrix

    matrix = read_matrix(folder / "small.yaml")
    wrong = matrix.cells()[0].model_copy(update={"sections": matrix.cells()[0].sections | {"detect": {"strode": 1}}})
    with pytest.raises(DataError, match="strode"):
        wrong.check(["head"])
