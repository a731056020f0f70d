"""Who may ask: reading only, under a name of this server, from its own pages, and with the token where there is one."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
SHORTEST_TOKEN = 16
"""Characters of a token; a shorter one can be guessed."""

LONGEST_TOKEN = 1000
"""Characters of a token; one that is much longer has no place in an address or a header."""

LONGEST_QUERY = 32 * 1024
"""Bytes of what an address asks: a name of 2,000 letters takes up to nine times as many."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""What every answer says to the browser."""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a server that listens on a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def token_fault(token: str) -> str:
    """Say why a token is no good, and what to do, without a letter of it; empty if it is good."""
    advice = "as `openssl rand -hex 16` makes"
    if len(token) < SHORTEST_TOKEN:
        return f"the token has {len(token)} characters and can be guessed: give {SHORTEST_TOKEN} or more, {advice}"
    if len(token) > LONGEST_TOKEN:
        return f"the token has {len(token):,} characters, and may have {LONGEST_TOKEN:,}: give a shorter one, {advice}"
    if not token.isprintable() or token != token.strip():
        return (
            "the token has a line break or another control character, or a blank at its end, "
            f"which no header can carry: give another one, {advice}"
        )
    return ""


class Guard:
    """The application behind all checks; what fails one is answered with one sentence.

    Args:
        application: What answers.
        host: The host that the server listens on.
        token: What a reader must know; empty for nothing.
    """

    def __init__(self, application: ASGIApp, host: str, token: str) -> None:
        self._application = application
        self._names = LOOPBACK_NAMES | {host.lower()}
        self._token = token.encode()
        self._cookie = hashlib.sha256(self._token).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refusal(scope) or self._application
        await answer(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if scope["method"] not in {"GET", "HEAD"}:
            return _sentence(405, "this server only shows: ask it by GET or HEAD", {"allow": "GET, HEAD"})
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._is_ours(hosts[0], scope):
            return _sentence(421, "this server is not known by that name: open the address that ww serve printed")
        if any(origin.partition("://")[2].lower() != hosts[0].lower() for origin in origins):
            return _sentence(403, "pages of another site may not ask this server")
        if len(scope["query_string"]) > LONGEST_QUERY:
            return _sentence(414, f"the address asks more than {LONGEST_QUERY} bytes: ask less at once")
        return self._without_token(scope, headers) if self._token else None

    def _is_ours(self, host: str, scope: Scope) -> bool:
        """Tell whether a Host header names this server, so that no name of another leads a browser here.

        That is a name of the host it listens on, or the number of the interface that the request came to; a name that
        somebody else can point here is neither. The port is free, for a tunnel may have one of its own.
        """
        found = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]+))(?::\d{1,5})?", host)
        if found is None:
            return False
        name = (found[1] or found[2]).lower()
        return name in self._names or name == (scope.get("server") or ("",))[0]

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to a request that does not hold the token, or that shows it for the first time."""
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        shown = [value for name, value in query if name == "token"]
        if shown:
            if len(shown) > 1 or not hmac.compare_digest(shown[0].encode(), self._token):
                return _no_token()
            rest = urlencode([(name, value) for name, value in query if name != "token"])
            # One slash first: an address that begins with two would lead to another server.
            place = "/" + quote(scope["path"].lstrip("/"))
            answer = RedirectResponse(f"{place}?{rest}" if rest else place, status_code=303)
            answer.set_cookie(_cookie_name(scope), self._cookie, httponly=True, samesite="strict")
            return answer
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode("latin-1"), self._token):
            return None
        pairs = [own.strip().partition("=") for line in headers.getlist("cookie") for own in line.split(";")]
        given = next((value for name, _, value in pairs if name == _cookie_name(scope)), "")
        return None if hmac.compare_digest(given.encode("latin-1"), self._cookie.encode()) else _no_token()


def _cookie_name(scope: Scope) -> str:
    """Return a name of this server's own: browsers send cookies to every port of a host."""
    return f"ww-{(scope.get('server') or ('', 0))[1]}"


def _no_token() -> Response:
    sentence = "this server asks for its token: open its address with ?token=TOKEN, or send Authorization: Bearer TOKEN"
    return _sentence(401, sentence, {"www-authenticate": "Bearer"})


def _sentence(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{sentence}\n", status, headers)
