"""What experiments.transfer says of its results, and that no class is both to transfer from and to."""

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from experiments.transfer import POOL, SELECTED, interval, summary
from experiments.transfer_data import HALVES, named


def results(*, turned: bool = False) -> pd.DataFrame:
    """Five targets and two seeds: a source's accuracy rises with its similarity, or falls; selected beat all by 10."""
    rows = []
    for target, seed in product(HALVES, (0, 1)):
        for place, domain in enumerate(HALVES):
            accuracy = 0.5 + 0.01 * place * (-1 if turned else 1) + 0.001 * seed
            rows.append({"source": f"half of {domain}", "similarity": 0.7 + 0.02 * place, "accuracy": accuracy})
        for source, accuracy in (("nothing", 0.3), ("selected", 0.8), ("all", 0.7), ("random", 0.75)):
            rows.append({"source": source, "similarity": 0.7, "accuracy": accuracy})
        for row in rows[-9:]:
            row |= {"target": target, "seed": seed}
    return pd.DataFrame(rows)


@pytest.mark.parametrize(("turned", "mean"), [(False, "1.00 (1.00 to 1.00)"), (True, "-1.00 (-1.00 to -1.00)")])
def test_ranks_are_correlated_target_by_target_and_selection_is_held_against_all(mean: str, *, turned: bool) -> None:
    said = summary(results(turned=turned))
    assert f"mean: {mean}" in said
    assert "selected less all, points: 10.00 (10.00 to 10.00)" in said
    assert "selected less random, points: 5.00 (5.00 to 5.00)" in said
    assert "all less nothing, points: 40.00 (40.00 to 40.00)" in said


def test_an_interval_holds_the_mean_and_is_wide_where_targets_differ() -> None:
    index = pd.MultiIndex.from_product([range(5), range(3)], names=["target", "seed"])
    values = pd.Series(np.repeat([0.0, 1, 2, 3, 4], 3), index)
    mean, low, high = (float(word.strip("()")) for word in interval(values).replace("to", "").split())
    assert (mean, low < 1, high > 3) == (2, True, True)


def test_halves_have_no_class_in_common() -> None:
    halves = [named(domain, half) for domain in HALVES for half in (0, 1)]
    assert all(not set(one) & set(other) for one, other in combinations(halves, 2))
    assert len(POOL) > 2 * SELECTED
