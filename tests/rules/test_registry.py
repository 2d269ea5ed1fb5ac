"""What holds for every rule of the registry, those that come later too."""

import importlib
import json
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from rule_evidence import CLASSES, answers, evidence, evidence_for, fitted

from longtail import rules
from longtail.errors import DataError
from longtail.methods.catalogue import CATALOGUE
from longtail.rules.base import Evidence, Rule, rule_class
from longtail.rules.registry import RULES, fit_rules
from longtail.rules.search import mean_class_accuracy

WITHOUT_LOGITS = tuple(key for key in RULES if not rule_class(key).needs_logits)


def allowed(found: Evidence) -> tuple[str, ...]:
    """The rules that can be fitted on the evidence."""
    return tuple(key for key in RULES if rule_class(key).obstacle(found) is None)


def same(one: tuple[npt.NDArray[np.generic], ...], two: tuple[npt.NDArray[np.generic], ...]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def nothing(content: bytes) -> bytes:
    return b""


def test_the_registry_has_every_rule_that_there_is() -> None:
    """A module is a rule's if it says which class RULE is."""
    modules = [
        importlib.import_module(f"longtail.rules.{found.name}") for found in pkgutil.iter_modules(rules.__path__)
    ]
    of_rules = {module.__name__.rpartition(".")[2]: module.RULE for module in modules if hasattr(module, "RULE")}
    assert set(of_rules) == set(RULES)
    assert len(RULES) == len(set(RULES))
    for key, rule in of_rules.items():
        assert issubclass(rule, Rule)
        assert rule_class(key) is rule
    titles = [rule.title for rule in of_rules.values()]
    assert all(titles)
    assert len(set(titles)) == len(titles), "the report tells rules by their titles"


@pytest.mark.parametrize("key", RULES)
def test_a_rule_alone_answers_as_beside_the_others(key: str) -> None:
    """A training's rounds are scored by one rule, whichever the catalogue names."""
    found = evidence_for(key)
    alone = rule_class(key).fit(found, {})
    expected = fitted(found)[key]
    assert alone.score == expected.score
    assert same(answers(alone, found), answers(expected, found))


@pytest.mark.parametrize("key", ["heads", "", "knn", "search", "base", "registry", "../head"])
def test_what_is_no_rule_is_refused(key: str) -> None:
    with pytest.raises(DataError, match=f"^there is no rule {key!r}$"):
        rule_class(key)


@pytest.mark.parametrize("key", RULES)
def test_a_rule_answers_with_a_class_and_a_score_for_each(key: str) -> None:
    found = evidence_for(key)
    codes, scores = answers(fitted(found)[key], found)
    assert codes.shape == (300,)
    assert scores.shape == (300, found.class_count)
    assert np.issubdtype(codes.dtype, np.integer)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert (codes == scores.argmax(1)).all()
    assert set(codes.tolist()) <= set(range(found.class_count))


@pytest.mark.parametrize("key", RULES)
def test_a_rule_answers_for_no_sample_with_none(key: str) -> None:
    found = evidence_for(key)
    assert found.logits is not None
    codes, scores = fitted(found)[key].predict(found.embeddings[:0], found.logits[:0])
    assert (codes.shape, scores.shape) == ((0,), (0, found.class_count))


@pytest.mark.parametrize("key", RULES)
def test_its_score_is_the_mean_class_accuracy_of_its_own_answers_on_validation(key: str) -> None:
    found = evidence_for(key)
    rule, known = fitted(found)[key], found.validation >= 0
    logits = None if found.logits is None else found.logits[known]
    codes, _ = rule.predict(found.embeddings[known], logits)
    assert rule.score == mean_class_accuracy(found.validation[known], codes)
    assert 1 / found.class_count < rule.score < 1, "neither a guess nor all right, so that the test can fail"
    summary = rule.summary()
    assert summary["score"] == rule.score
    assert json.loads(json.dumps(summary)) == summary


@pytest.mark.parametrize("key", RULES)
def test_a_rule_is_read_as_it_was_written_beside_other_rules_and_tasks(tmp_path: Path, key: str) -> None:
    tasks = {name: evidence_for(key, seed) for seed, name in enumerate(("digit", "kids", "digit-2"))}
    made = {task: fitted(found) for task, found in tasks.items()}
    for task, of_task in made.items():
        for rule in of_task.values():
            rule.save(tmp_path, task)
    for task, found in tasks.items():
        loaded = rule_class(key).load(tmp_path, task)
        assert same(answers(made[task][key], found), answers(loaded, found))
        assert loaded.score == made[task][key].score
        assert loaded.summary() == made[task][key].summary()


@pytest.mark.parametrize("key", RULES)
@pytest.mark.parametrize("damage", [half, nothing, None])
def test_a_file_that_cannot_be_read_is_one_sentence(
    tmp_path: Path, key: str, damage: Callable[[bytes], bytes] | None
) -> None:
    needed = [key] if key in WITHOUT_LOGITS else list(RULES)
    for rule in fit_rules(needed, evidence_for(key)).values():
        rule.save(tmp_path, "digit")
    refused = {}
    for file in (path for path in sorted(tmp_path.rglob("*")) if path.is_file()):
        content = file.read_bytes()
        if damage is None:
            file.unlink()
        else:
            file.write_bytes(damage(content))
        try:
            rule_class(key).load(tmp_path, "digit")
        except DataError as error:
            refused[file] = str(error)
        file.write_bytes(content)
    assert refused, "of all that was written it reads something"
    for file, message in refused.items():
        assert message.startswith(f"cannot read {file}: ")
        assert "\n" not in message


@pytest.mark.parametrize("key", RULES)
def test_a_rule_sees_training_and_validation_alone(key: str) -> None:
    found = evidence_for(key)
    other = evidence_for(key, 5)
    assert found.logits is not None
    assert other.logits is not None
    unseen = (found.train < 0) & (found.validation < 0)
    changed = replace(
        found,
        embeddings=np.where(unseen[:, None], other.embeddings, found.embeddings),
        logits=np.where(unseen[:, None], other.logits, found.logits),
    )
    assert not np.array_equal(found.embeddings, changed.embeddings)
    one, two = fitted(found)[key], fitted(changed)[key]
    assert one.summary() == two.summary()
    assert same(answers(one, found), answers(two, found))


@pytest.mark.parametrize("key", RULES)
def test_the_same_evidence_gives_the_same_rule_and_a_sample_the_same_answer_in_any_company(key: str) -> None:
    found = evidence_for(key)
    rule, again = fitted(found)[key], fitted(evidence_for(key))[key]
    codes, scores = answers(rule, found)
    assert same((codes, scores), answers(again, found))
    for row in range(0, 300, 60):
        logits = None if found.logits is None else found.logits[[row]]
        code, score = rule.predict(found.embeddings[[row]], logits)
        assert code.tolist() == [codes[row]]
        assert score[0] == pytest.approx(scores[row], rel=1e-5)


@pytest.mark.parametrize("key", RULES)
@pytest.mark.parametrize("lacking", range(CLASSES))
def test_a_class_that_training_lacks_is_never_answered_by_neighbours_and_shifts_no_other(
    key: str, lacking: int
) -> None:
    found = evidence_for(key)
    lacking = min(lacking, found.class_count - 1)
    truth = np.maximum(found.train, found.validation)
    found = replace(found, train=np.where(found.train == lacking, -1, found.train))
    codes, scores = answers(fitted(found)[key], found)
    assert scores.shape == (300, found.class_count)
    if key in WITHOUT_LOGITS:
        assert lacking not in codes
    others = (truth >= 0) & (truth != lacking)
    assert mean_class_accuracy(truth[others], codes[others]) > 0.5, "shifted by one, nearly all would be wrong"


@pytest.mark.parametrize("key", RULES)
@pytest.mark.parametrize("lacking", range(CLASSES))
def test_a_class_that_validation_lacks_is_answered_all_the_same(key: str, lacking: int) -> None:
    """Where nothing is known of a class, nothing is held against it: it has no threshold beyond all others'."""
    found = evidence_for(key)
    lacking = min(lacking, found.class_count - 1)
    whole, _ = answers(fitted(found)[key], found)
    lacked = replace(found, validation=np.where(found.validation == lacking, -1, found.validation))
    codes, _ = answers(fitted(lacked)[key], lacked)
    assert (codes == lacking).sum() >= 0.5 * (whole == lacking).sum() > 0


def test_rules_that_need_a_classifier_are_left_out_where_none_was_trained() -> None:
    found = evidence(logits=False)
    made = fitted(found)
    assert tuple(made) == WITHOUT_LOGITS
    assert 0 < len(WITHOUT_LOGITS) < len(RULES)
    for key, rule in made.items():
        assert same(answers(rule, found), answers(fitted(evidence())[key], found)), "the logits make no difference"


@pytest.mark.parametrize("classes", [2, CLASSES])
def test_rules_are_fitted_in_the_order_of_the_registry_each_once(classes: int) -> None:
    found = evidence(classes=classes)
    made = fitted(found, tuple(reversed(RULES)) * 2)
    assert tuple(made) == allowed(found)
    assert {key: type(rule) for key, rule in made.items()} == {key: rule_class(key) for key in allowed(found)}
    assert fitted(found, ()) == {}


def test_every_rule_can_be_fitted_on_something_and_what_cannot_be_is_told_in_words() -> None:
    for found in (evidence(), evidence(classes=2), evidence(logits=False), replace(evidence(), linear=None)):
        for key in set(RULES) - set(allowed(found)):
            why = rule_class(key).obstacle(found)
            assert why
            assert not why.endswith(".")
    assert {*allowed(evidence()), *allowed(evidence(classes=2))} == set(RULES)


@pytest.mark.parametrize("kind", CATALOGUE)
def test_a_methods_rule_can_score_a_training_without_any_other(kind: str) -> None:
    found, key = evidence(), CATALOGUE[kind].rule
    rule = rule_class(key).fit(found, {})
    assert same(answers(rule, found), answers(fitted(found)[key], found))
