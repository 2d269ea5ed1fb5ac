"""Whether a request may be answered: its Host, whoever sends it, and the page that it comes from."""

import hashlib
import hmac
import ipaddress
import re
import secrets
import socket
from urllib.parse import urlsplit

from longtail.errors import DataError
from longtail.sources.quoting import shown

SHORTEST = 16  # characters of a token


class Guard:
    """What a server that listens on `host` asks of requests; with a `token`, that they show it or its cookie.

    Raises DataError if the host is reachable from elsewhere and there is no token, or one that can be guessed.
    """

    def __init__(self, host: str, token: str | None) -> None:
        if not re.fullmatch(r"[\w.:-]+", host):
            raise DataError(f"--host {shown(host)} is no name or address of this machine")
        if token is None and not _is_local(host):
            raise DataError(
                f"whoever reaches {host} could label: give a token too, as --token {secrets.token_urlsafe(24)}"
            )
        if token is not None and len(token) < SHORTEST:
            raise DataError(f"the token has {len(token)} characters and could be guessed; give {SHORTEST} or more")
        self.csrf = secrets.token_urlsafe(24)
        self._token, self._everywhere = token, _is_everywhere(host)
        self._names = {"localhost", "127.0.0.1", "::1"} if _is_local(host) or self._everywhere else set()
        self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()} if self._everywhere else {host.lower()}

    @property
    def cookie(self) -> str:
        """What a browser that has shown the token keeps; a server that is started again with the same knows it."""
        return hmac.new((self._token or "").encode(), b"longtail label", hashlib.sha256).hexdigest()

    @property
    def cookie_name(self) -> str:
        """Its own for each token: browsers give a cookie to all servers of a machine, whatever their ports."""
        return f"longtail-label-{hashlib.sha256(self.cookie.encode()).hexdigest()[:8]}"

    def knows_host(self, host: str | None) -> bool:
        """Whether a Host header names this server, not a name that somebody has pointed at its address.

        One that listens on all of its addresses takes any address: a page of another site has a name.
        """
        name = _name(host)
        return name is not None and (name in self._names or (self._everywhere and _is_address(name)))

    def is_token(self, given: str | None) -> bool:
        """Whether this is the token; not where there is none."""
        return self._token is not None and _same(given, self._token)

    def lets_in(self, cookie: str | None) -> bool:
        """Whether a request with this cookie may see the queue."""
        return self._token is None or _same(cookie, self.cookie)

    def may_change(self, host: str, origin: str | None, csrf: str | None) -> bool:
        """Whether a POST comes from this server's own page."""
        return origin is not None and origin.partition("://")[2] == host and _same(csrf, self.csrf)


def _same(given: str | None, wanted: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(), wanted.encode())


def _name(host: str | None) -> str | None:
    """The name or address of a Host header, without its port; None if it is none."""
    try:
        return urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        return None


def _is_local(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_everywhere(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
