"""No user or password of the tracking server's address is written anywhere."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from longtail.tracking import offline
from longtail.tracking.settings import without_credentials

WORDS = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"], exclude_characters=":@"), min_size=1, max_size=8)


@given(st.sampled_from(["http", "https", "postgresql"]), WORDS, WORDS, st.sampled_from(["", ":5000"]))
@example("http", "user", "pa/ss", ":5000")
@example("http", "user", "p#?ss", "")
@example("http", "user", "#", "")
def test_an_address_has_neither_user_nor_password(scheme: str, user: str, password: str, port: str) -> None:
    if re.split("[/?#]", password)[0].isdigit() or any(letter in user for letter in "/?#["):
        return  # a port, and a path or query with an @
    public = f"{scheme}://host{port}/mlflow"
    address = f"{scheme}://{user}:{password}@host{port}/mlflow"
    assert without_credentials(address) == public
    quoted = f"API request to {address}/api failed with exception (Connection broken: {address})"
    said = offline.reason(public, ValueError(quoted))
    assert f"{user}:{password}@" not in said
    assert public in said


@pytest.mark.parametrize(
    "address",
    [
        "http://host:5000/@me",
        "http://host/team@work",
        "http://[::1]:5000",
        "http://[::1:5000",
        "sqlite:////tmp/a@b.db",
        "sqlite:///mlflow.db",
        "file:///x@y",
        "mlruns",
        "",
    ],
)
def test_an_address_without_them_stays(address: str) -> None:
    assert without_credentials(address) == address
