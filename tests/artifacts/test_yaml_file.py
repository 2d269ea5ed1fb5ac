"""YAML that people write: a key that stands twice is named with both lines."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from longtail.artifacts.yaml_file import read_yaml
from longtail.errors import DataError

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "experiments").glob("*.yaml"))


@pytest.mark.parametrize(
    ("text", "key", "first", "again"),
    [
        ("seed: 1\ndata: a\nseed: 2\n", "seed", 1, 3),
        ("split:\n  test: 0.1\n  validation: 0.1\n  test: 0.2\n", "test", 2, 4),
        ("fits:\n  a: {after: start}\n  b: {after: a}\n  a: {after: b}\n", "a", 2, 4),
        ("split: {test: 0.1, test: 0.1}\n", "test", 1, 1),
        ("models:\n- {a: 1}\n- {b: 1,\n   'b': 2}\n", "b", 3, 4),
        ("1: a\n'1': b\n1: c\n", "1", 1, 3),
    ],
)
def test_a_key_that_stands_twice(tmp_path: Path, text: str, key: str, first: int, again: int) -> None:
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=f"'{key}' stands on line {first} and again on line {again}") as refusal:
        read_yaml(tmp_path / "params.yaml")
    assert str(tmp_path / "params.yaml") in str(refusal.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [("True", "true"), ("FALSE", "false"), ("1", "1.0"), ("1", "true"), ("~", "null"), ("1.5", "1.50")],
)
def test_keys_that_are_spelled_differently_and_read_alike(tmp_path: Path, one: str, other: str) -> None:
    (tmp_path / "params.yaml").write_text(f"target:\n  {one}: 0.5\n  {other}: 0.5\n", encoding="utf-8")
    said = f"'{one}' on line 2 and '{other}' on line 3 are the same to YAML; put names in quotes"
    with pytest.raises(DataError, match=said):
        read_yaml(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text(f"target:\n  '{one}': 0.5\n  '{other}': 0.5\n", encoding="utf-8")
    assert read_yaml(tmp_path / "params.yaml") == {"target": {one: 0.5, other: 0.5}}


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "y", "N", "On"])
def test_only_true_and_false_are_no_texts_as_dvc_reads_it(tmp_path: Path, word: str) -> None:
    (tmp_path / "params.yaml").write_text(f"{word}: {word}\nfirst: true\nsecond: False\n", encoding="utf-8")
    assert read_yaml(tmp_path / "params.yaml") == {word: word, "first": True, "second": False}


@pytest.mark.parametrize("word", ["010", "007", "1_000", "1:30", "1:30.5", "0x1F", "0b11", "0o17", "00", "-01"])
def test_a_number_that_is_not_written_as_decimals_are_stays_a_text(tmp_path: Path, word: str) -> None:
    """YAML 1.1, which is PyYAML's, makes 8 of 010 and 90 of 1:30; DVC does not. A class may be called so."""
    (tmp_path / "params.yaml").write_text(f"classes: [{word}]\n", encoding="utf-8")
    assert read_yaml(tmp_path / "params.yaml") == {"classes": [word]}


@given(st.one_of(st.integers(), st.floats(allow_nan=False), st.from_regex(r"[-+]?[0-9_:.eExob]{1,8}", fullmatch=True)))
def test_what_is_read_as_a_number_dvc_reads_as_the_same(value: object) -> None:
    """DVC's reader is ruamel.yaml, for YAML 1.2."""
    text = value if isinstance(value, str) else repr(value)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(f"a: [{text}]\n", encoding="utf-8")
        try:
            (ours,) = read_yaml(file)["a"]
        except (DataError, ValueError):  # no YAML, as of several scalars
            return
    if isinstance(ours, int | float):
        (theirs,) = YAML(typ="safe", pure=True).load(f"a: [{text}]\n")["a"]
        assert theirs == ours


def test_a_long_key_is_shown_in_part(tmp_path: Path) -> None:
    key = f"? {'a' * 100_000}\n: 1\n"
    (tmp_path / "params.yaml").write_text(key + key, encoding="utf-8")
    with pytest.raises(DataError, match="and again on line 3") as refusal:
        read_yaml(tmp_path / "params.yaml")
    assert len(str(refusal.value)) < 500


def test_keys_of_different_mappings_and_types_are_no_matter(tmp_path: Path) -> None:
    text = "a: {x: 1, y: &shared {k: 1}}\nb: {x: 1, <<: *shared}\n1: one\n'1': one as text\n"
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    assert read_yaml(tmp_path / "params.yaml") == {
        "a": {"x": 1, "y": {"k": 1}},
        "b": {"k": 1, "x": 1},
        1: "one",
        "1": "one as text",
    }


@pytest.mark.parametrize(
    "content",
    [b"a: [1, 2", b"\xff\xfe", b"a: \x00", b"[" * 100_000, b"a: *nowhere", b"!!python/x a", b"? {1: a}\n: x"],
)
def test_what_is_no_yaml_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot read .*params\.yaml") as refusal:
        read_yaml(tmp_path / "params.yaml")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("file", ["params.yaml", "longtail/methods/catalogue.yaml", *EXPERIMENTS])
def test_no_key_of_ours_stands_twice(file: str) -> None:
    assert read_yaml(ROOT / file)
