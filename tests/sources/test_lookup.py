"""Which file a cell means, in the forms that people and systems write."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longtail.sources.lookup import Lookup

NAMES = ["sub/x.png", "sub/deep/y.png", "caf\u00e9.png", "x.jpg"]
FORMS = {
    "as it is": "{}",
    "with a dot": "./{}",
    "from the root": "/{}",
    "doubled slashes": ".//{}",
    "spaces behind": "{}  ",
    "spaces before": "  {}",
    "a tab behind": "{}\t",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("slash", ["/", "\\"])
@pytest.mark.parametrize("unicode_form", ["NFC", "NFD"])
@pytest.mark.parametrize("disk", ["NFC", "NFD"])
def test_a_cell_finds_its_file(form: str, slash: str, unicode_form: str, disk: str) -> None:
    names = [unicodedata.normalize(disk, name) for name in NAMES]
    lookup = Lookup(names)
    for name in names:
        cell = unicodedata.normalize(unicode_form, form.format(name)).replace("/", slash)
        assert lookup.find(cell) == name


@pytest.mark.parametrize("cell", ["", ".", "sub", "X.jpg", "x", "x.png", "../x.jpg", "sub/../x.jpg"])
def test_other_differences_are_not_guessed(cell: str) -> None:
    assert Lookup(NAMES).find(cell) is None


def test_a_cell_that_may_mean_two_files_means_none_but_an_exact_name_always_does() -> None:
    both = [unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD")]
    lookup = Lookup(both)
    assert lookup.find(f" {both[0]}") is None
    assert [lookup.find(name) for name in both] == both


@given(st.lists(st.text("ab./\\ ", min_size=1), max_size=6, unique=True), st.text("ab./\\ "))
def test_every_name_finds_itself_and_no_cell_finds_what_is_not_there(names: list[str], cell: str) -> None:
    lookup = Lookup(names)
    assert [lookup.find(name) for name in names] == names
    assert lookup.find(cell) in {None, *names}


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("X.JPG", "a file 'x.jpg', which differs from 'X.JPG' in case"),
        ("x.jpeg", "differs from 'x.jpeg' in its ending, see `suffix`"),
        ("sub/x", "a file 'sub/x.png', which differs from 'sub/x' in its ending"),
        ("/home/me/y.png", "a file 'sub/deep/y.png', which differs from 'home/me/y.png' in its folder"),
        ("y", "a file 'sub/deep/y.png', which differs from 'y' in folder and ending"),
        ("zebra", "The files are named like 'sub/x.png'."),
    ],
)
def test_a_hint_says_what_may_be_meant(cell: str, words: str) -> None:
    assert words in Lookup(NAMES).hint(["nothing", cell])
    assert Lookup([]).hint([cell]) == "There is no file at all."
