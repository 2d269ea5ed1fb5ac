"""Which hosts, tokens and pages the server trusts."""

import socket

import pytest

from longtail.errors import DataError
from longtail.labelling.guard import Guard

TOKEN = "a token of enough characters é"


@pytest.mark.parametrize(
    ("listens", "asked", "known"),
    [
        ("127.0.0.1", "127.0.0.1:8765", True),
        ("127.0.0.1", "localhost:8765", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.0.0.1", "[::1]:8765", True),
        ("localhost", "127.0.0.1:1", True),
        ("127.0.0.1", "evil.example:8765", False),
        ("127.0.0.1", "127.0.0.1.evil.example", False),
        ("127.0.0.1", "localhost.evil.example:8765", False),
        ("127.0.0.1", "192.168.1.7:8765", False),
        ("127.0.0.1", "evil.example@localhost.", False),
        ("127.0.0.1", "[", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", None, False),
        ("192.168.1.7", "192.168.1.7:8765", True),
        ("192.168.1.7", "localhost:8765", False),
        ("box.lan", "BOX.lan:8765", True),
        ("box.lan", "box.lan.evil.example", False),
        ("0.0.0.0", "192.168.1.7:8765", True),
        ("0.0.0.0", "localhost:8765", True),
        ("0.0.0.0", socket.gethostname(), True),
        ("::", "[fe80::1]:8765", True),
        ("0.0.0.0", "evil.example:8765", False),
        ("0.0.0.0", "1.2.3.4.evil.example", False),
    ],
)
def test_a_host_is_known_by_the_name_that_it_listens_on(listens: str, asked: str | None, known: bool) -> None:
    assert Guard(listens, TOKEN).knows_host(asked) == known


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "box.lan", "localhost.evil.example"])
def test_beyond_this_machine_a_token_is_needed(host: str) -> None:
    with pytest.raises(DataError, match=r"give a token too, as --token [\w-]{30,}$"):
        Guard(host, None)
    Guard(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "localhost", "::1"])
def test_on_this_machine_it_is_not(host: str) -> None:
    guard = Guard(host, None)
    assert guard.lets_in(None)
    assert not guard.is_token("")
    assert not guard.is_token(None)


@pytest.mark.parametrize("host", ["unix:///tmp/x", "a b", "", "x/y", "evil\n"])
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(DataError, match="is no name or address"):
        Guard(host, TOKEN)


def test_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(DataError, match="could be guessed"):
        Guard("127.0.0.1", "x" * 15)


def test_a_token_opens_and_nothing_else_does() -> None:
    guard, again, other = Guard("0.0.0.0", TOKEN), Guard("0.0.0.0", TOKEN), Guard("0.0.0.0", TOKEN + "!")
    assert guard.is_token(TOKEN)
    for wrong in (None, "", TOKEN[:-1], TOKEN + "x", "é" * 30):
        assert not guard.is_token(wrong)
        assert not guard.lets_in(wrong)
    assert not guard.lets_in(TOKEN)
    assert again.lets_in(guard.cookie)  # of a server that was started again
    assert not other.lets_in(guard.cookie)


def test_only_the_own_page_may_change_something() -> None:
    guard = Guard("127.0.0.1", None)
    host, origin = "localhost:8765", "http://localhost:8765"
    assert guard.may_change(host, origin, guard.csrf)
    assert not guard.may_change(host, origin, None)
    assert not guard.may_change(host, origin, Guard("127.0.0.1", None).csrf)
    for foreign in (
        None,
        "null",
        "",
        "http://evil.example",
        "http://localhost:9",
        "http://localhost:8765.evil.example",
        "http://[",
    ):
        assert not guard.may_change(host, foreign, guard.csrf)
