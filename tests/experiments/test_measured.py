"""What is kept of an experiment's tables, from answers written by hand."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from experiments.gains import Gains
from experiments.measured import app
from longtail.metrics.significance import Answers

RARE = np.array([False, True])


def answers(rng: np.random.Generator, sizes: tuple[int, int], psi: tuple[float, float], of_group: int) -> Answers:
    """Of two classes; one method alone is right in a share psi, and groups of images share who that is."""
    truth = np.repeat([0, 1], sizes)
    groups = np.arange(len(truth)) // of_group
    one_right = np.where(rng.random(groups.max() + 1) < 0.5, 1, -1)[groups]
    differ = rng.random(groups.max() + 1)[groups] < np.array(psi)[truth]
    first = np.where(differ & (one_right < 0), -2, truth)
    second = np.where(differ & (one_right > 0), -2, truth)
    return Answers(truth, first, second, groups.astype(str))


def test_a_class_without_a_test_image_leaves_the_discordance_to_the_others() -> None:
    """As a background class is."""
    one = answers(np.random.default_rng(0), (2000, 2000), (0.1, 0.4), 1)
    found, more = (Gains.of([one], np.array([False, True, False][:classes])) for classes in (2, 3))
    assert more.discordance == found.discordance


def test_the_discordance_is_that_of_minority_classes_and_of_others() -> None:
    found = Gains.of([answers(np.random.default_rng(0), (20_000, 20_000), (0.1, 0.4), 1)], RARE)
    assert found.discordance == pytest.approx((0.4, 0.1), abs=0.01)
    assert found.likeness is None
    assert found.spread is None


def test_images_of_a_group_that_agree_are_wholly_alike() -> None:
    found = Gains.of([answers(np.random.default_rng(0), (4000, 4000), (0.3, 0.3), 5)], RARE)
    assert found.likeness == pytest.approx(1, abs=0.01)


def test_images_of_a_group_that_have_nothing_in_common_are_not_alike() -> None:
    one = answers(np.random.default_rng(0), (4000, 4000), (0.3, 0.3), 1)
    groups = np.repeat(np.arange(1600), 5).astype(str)
    found = Gains.of([Answers(one.truth, one.first, one.second, groups)], RARE)
    assert found.likeness == pytest.approx(0, abs=0.03)


def test_the_spread_over_seeds_is_what_the_test_subsets_do_not_explain() -> None:
    rng = np.random.default_rng(0)
    same = [answers(rng, (2000, 2000), (0.3, 0.3), 1) for _ in range(200)]
    assert (Gains.of(same, RARE).spread or 0) < 0.005
    shifted = []
    for place, one in enumerate(same):
        worse = rng.random(len(one.truth)) < 0.1 * (place % 2)
        shifted.append(Answers(one.truth, np.where(worse, -2, one.first), one.second, one.groups))
    assert Gains.of(shifted, RARE).spread == pytest.approx(0.05 * 0.85, rel=0.2)


def test_an_experiment_held_against_another_baseline_is_refused(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [str(tmp_path / "digits"), "--data", str(tmp_path), "--output", str(tmp_path / "m")])
    assert done.exit_code == 1
    assert not (tmp_path / "m").exists()


def test_the_file_is_as_the_results_have_it() -> None:
    """The head row of docs/results.md's toolbox, by experiment: the same figures."""
    from longtail.advice.measured import FILE

    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")
    tables = {one["name"]: one for one in yaml.safe_load(FILE.read_text(encoding="utf-8"))["tables"]}
    for name in ("attributes_toolbox", "cifar10_long_tail", "clothing_toolbox"):
        gain = tables[name]["gains"]["cross-entropy, head"]
        assert f"{gain['mean']:+.2f}" in text, name
