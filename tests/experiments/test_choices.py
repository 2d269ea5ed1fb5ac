"""What was chosen on validation, in words: of each seed, of many, of cells that do not say it."""

from typing import Any

import pytest
from rule_evidence import evidence, fitted

from experiments.choices import chosen, in_words


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ([], ""),
        ([{}, {}], ""),
        ([None, None], "–"),
        ([{}, None], "–"),
        ([{"k": 5, "decision": "vote"}], "k 5; vote"),
        ([{"k": 5, "decision": "vote"}] * 3, "k 5; vote"),
        (
            [{"k": k, "decision": d} for k, d in ((5, "vote"), (5, "vote"), (10, "large_margin"))],
            "k 5, 5, 10; vote, vote, large margin",
        ),
        ([{"k": 5, "decision": "vote"}, None], "k 5, –; vote, –"),
        ([{"decision": "vote", "k": 1, "round": 3}], "round 3; k 1; vote"),
        ([{"strength": 1.0}, {"strength": 0.25}], "τ 1, 0.25"),
        ([{"threshold": 0.123456}], "threshold 0.123"),
        ([{"k": k, "decision": "vote"} for k in range(2, 11)], "k 2 to 10; vote"),
        ([*({"k": k, "decision": "vote"} for k in range(2, 8)), None], "k 2 to 7, –; 6 × vote, 1 × –"),
    ],
)
def test_choices_are_told_in_few_words(choices: list[dict[str, Any] | None], words: str) -> None:
    assert in_words(choices) == words


def test_of_a_rule_is_kept_what_it_chose_and_nothing_else() -> None:
    rules = {**fitted(evidence(classes=2)), **fitted(evidence())}
    kept = {key: set(chosen(rule.summary())) for key, rule in rules.items()}
    neighbours = {"k", "decision"}
    assert {key for key, names in kept.items() if names >= neighbours} == {
        *("cluster_wise", "large_margin", "sample_wise", "head_and_knn")
    }
    assert {key for key, names in kept.items() if not names} == {"head", "class_mean"}
    assert all(chosen({**rule.summary(), "score": 0, "curve": []}) == chosen(rule.summary()) for rule in rules.values())
