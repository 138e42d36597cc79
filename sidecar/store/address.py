"""Where the store is: a URL, parsed and checked. It does not connect.

A password never shows: `str` and `repr` mask it.
"""

from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec
from msgspec.structs import replace

from sidecar.domain.errors import InvalidInput

_WANTED = (
    "The store address must look like redis://[user:password@]host[:port][/db], rediss://… for TLS "
    "(with ?ca_file=/path/ca.pem for a private authority), or unix:///path/to/socket[?db=N]"
)


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One Redis or Valkey server. `path` is set for a Unix socket, else `host` and `port` are."""

    host: str = ""
    port: int = 6379
    path: str = ""
    tls: bool = False
    ca_file: str = ""
    """Authorities to trust instead of the system's, for `tls`."""
    username: str | None = None
    password: str | None = None
    db: int = 0

    def __str__(self) -> str:
        if self.path:
            return f"unix://{quote(self.path)}" + (f"?db={self.db}" if self.db else "")
        user = "" if self.password is None else f"{quote(self.username or '', safe='')}:***@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{user}{host}:{self.port}" + (f"/{self.db}" if self.db else "")

    def __repr__(self) -> str:
        return f"Address({self})"


def parse_address(url: str) -> Address:
    """Read a store URL; `InvalidInput` says what is wrong with it and never repeats a password."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise InvalidInput(f"{_WANTED}; the host or port of the given one is not valid.", "store.url") from error
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    address = Address(
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password is not None else None,
    )
    if parts.scheme == "unix":
        path = unquote(parts.path)
        if parts.hostname or not path.startswith("/") or path == "/":
            raise InvalidInput(f"{_WANTED}; the given one names no absolute path of a socket.", "store.url")
        _known(options, {"db"})
        return replace(address, path=path, db=_database(options.get("db", "")))
    if parts.scheme not in {"redis", "rediss"}:
        given = f"starts with {parts.scheme}://" if parts.scheme else "has no scheme"
        raise InvalidInput(f"{_WANTED}; the given one {given}.", "store.url")
    if not parts.hostname:
        raise InvalidInput(f"{_WANTED}; the given one has no host.", "store.url")
    tls = parts.scheme == "rediss"
    _known(options, {"ca_file"} if tls else set())
    return replace(
        address,
        host=parts.hostname,
        port=address.port if port is None else port,
        tls=tls,
        ca_file=options.get("ca_file", ""),
        db=_database(parts.path.removeprefix("/")),
    )


def _known(options: dict[str, str], known: set[str]) -> None:
    for option in options:
        if option not in known:
            raise InvalidInput(f"{_WANTED}; the given one has the unknown option {option!r}.", "store.url")


def _database(text: str) -> int:
    if text in {"", "0"}:
        return 0
    if not (text.isascii() and text.isdecimal()):
        raise InvalidInput(f"{_WANTED}; the database must be a number, got {text!r}.", "store.url")
    return int(text)
