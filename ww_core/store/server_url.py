"""Addresses of PostgreSQL servers: read strictly, and shown without a secret.

An address that is not understood is refused, and no part of it is repeated: what looks like a host may be the rest of a
password with an unescaped character.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from sqlalchemy import URL

from ww_core.errors import NotAStoreError, near_names

SCHEMES = ("postgresql", "postgres", "postgresql+psycopg")

_PLACE = ("host", "hostaddr", "port", "user", "dbname", "service")
_NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
)
_WAYS = (
    "application_name",
    "channel_binding",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "options",
    "passfile",
    "password",
    "require_auth",
    "requirepeer",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
)
KEYS = tuple(sorted((*_PLACE, *_NUMBERS, *_WAYS)))
"""What may stand after the ``?``: connection parameters of libpq, but for those that change what ww relies on."""

_URL = re.compile(
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:@/?#\[\]]*)(?::(?P<port>[0-9]{0,5}))?"
    r"(?:/(?P<dbname>[^@/?#]*))?"
    r"(?:\?(?P<query>[^#]*))?"
)
_NO_URL = re.compile(r"[\x00-\x20\x7f-\xa0\ud800-\udfff]")
"""Blanks, control characters and bytes that are no text."""

_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


def read_server_url(text: str) -> URL:
    """Read ``postgresql://user:password@host:port/database?key=value&...``; special characters in it are ``%XX``.

    Raises:
        NotAStoreError: It is no such address. The message repeats at most the name of the scheme.
    """
    scheme, _, rest = text.partition("://")
    if scheme not in SCHEMES:
        raise refused_address(text)
    match = _URL.fullmatch(rest)
    if match is None or _NO_URL.search(rest):
        raise _unreadable()
    fields = {name: match[name] for name in ("user", "password", "host", "port", "dbname") if match[name]}
    fields = {name: _decoded(field) for name, field in fields.items()}
    query = _query_of(match["query"] or "")
    for name in fields:
        if name in query:
            raise NotAStoreError(f"the postgresql:// URL says its {name} twice: leave one of them out")
    _check_values(fields | query)
    if fields.get("host", "").startswith("/"):  # the folder of a socket
        query["host"] = fields.pop("host")
    return URL.create(
        "postgresql+psycopg",
        username=fields.get("user"),
        password=fields.get("password"),
        host=fields["host"].strip("[]") if "host" in fields else None,
        port=int(fields["port"]) if "port" in fields else None,
        database=fields.get("dbname"),
        query=query,
    )


def shown_server_url(url: URL) -> str:
    """Return where the server is and who asks it: no password, and no option of the connection."""
    shown = url.set(drivername="postgresql", query={key: url.query[key] for key in _PLACE if key in url.query})
    return shown.render_as_string(hide_password=True).replace(" ", "%20")  # which it leaves in names


def _query_of(text: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for pair in text.split("&") if text else ():
        name, equals, field = pair.partition("=")
        if not equals:
            raise _unreadable()
        if name not in KEYS:
            # The name is not repeated: it may be the rest of a password with an unescaped "?" or "&" in it.
            near = near_names(name, KEYS) if len(name) <= max(map(len, KEYS)) else []
            hint = f"did you mean {', '.join(near)}?" if near else f"known are {', '.join(KEYS)}"
            raise NotAStoreError(f"the postgresql:// URL has an unknown key after its '?': {hint}")
        if name in query:
            raise NotAStoreError(f"the postgresql:// URL says its {name} twice: leave one of them out")
        query[name] = _decoded(field)
    return query


def _decoded(field: str) -> str:
    if _BAD_PERCENT.search(field):
        raise _unreadable()
    try:
        text = unquote(field, errors="strict")
    except UnicodeDecodeError:
        raise _unreadable() from None
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise NotAStoreError("the postgresql:// URL has a control character in it, written as %XX: leave it out")
    return text


def _check_values(fields: dict[str, str]) -> None:
    database = fields.get("dbname", "")
    # A driver may take such a name for a connection string, and connect to the server that is named there.
    if "=" in database or "://" in database:
        raise NotAStoreError(
            "the database in the postgresql:// URL is a connection string: write its parts into the URL itself"
        )
    for part in fields.get("port", "").split(","):
        if part and not (part.isdecimal() and 0 < int(part) < 2**16):
            raise NotAStoreError("the port in the postgresql:// URL is no number from 1 to 65535")
    hosts, ports = (fields.get(name, "").split(",") for name in ("host", "port"))
    if len(ports) > 1 and len(hosts) != len(ports):
        raise NotAStoreError("the postgresql:// URL names several ports, and not as many hosts: give one to each")
    for name in _NUMBERS:
        if name in fields and not re.fullmatch(r"[0-9]{1,9}", fields[name]):
            raise NotAStoreError(f"{name} in the postgresql:// URL is not a whole number")


def refused_address(text: str) -> NotAStoreError:
    """Return the error for what looks like an address and is none that a store has."""
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{1,30}(?=://)", text)
    what = f"{scheme[0]}://" if scheme else "what looks like an address or a connection string"
    return NotAStoreError(
        f"{what} is no store: give a path, sqlite:///path or postgresql://user@host/database "
        "(a file of such a name is ./NAME)"
    )


def _unreadable() -> NotAStoreError:
    return NotAStoreError(
        "the postgresql:// URL cannot be read: write it as postgresql://user:password@host:port/database?key=value, "
        "with special characters of the password as %XX"
    )
