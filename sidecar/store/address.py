"""Where the store is: a URL, parsed and checked. It does not connect.

A password never shows: `str` and `repr` mask it.
"""

from enum import StrEnum
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec
from msgspec.structs import replace

from sidecar.domain.errors import InvalidInput

PORT = 6379
SENTINEL_PORT = 26379

_WANTED = (
    "The store address must look like redis://[user:password@]host[:port][/db], "
    "redis+cluster://[user:password@]host[:port][,host[:port]…], "
    "redis+sentinel://[user:password@]host[:port][,host[:port]…]/service[/db] (with ?sentinel_password=… if the "
    "sentinels want one), rediss… instead of redis… for TLS (with ?ca_file=/path/ca.pem for a private authority), "
    "or unix:///path/to/socket[?db=N]"
)


class Kind(StrEnum):
    """What is found at the address."""

    SERVER = "redis"
    CLUSTER = "redis+cluster"
    SENTINEL = "redis+sentinel"


class Node(NamedTuple):
    """One server of several."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One Redis or Valkey server, a cluster of them, or one that sentinels know.

    `path` is set for a Unix socket, else `host` and `port` are: of the server, or of the first node or sentinel;
    `more` are the other ones. User name and password are the data servers'.
    """

    kind: Kind = Kind.SERVER
    host: str = ""
    port: int = PORT
    more: tuple[Node, ...] = ()
    path: str = ""
    tls: bool = False
    ca_file: str = ""
    """Authorities to trust instead of the system's, for `tls`."""
    username: str | None = None
    password: str | None = None
    db: int = 0
    service: str = ""
    """The name under which the sentinels know the primary."""
    sentinel_password: str | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        return (Node(self.host, self.port), *self.more)

    def at(self, node: Node) -> "Address":
        """The data server `node`, with our credentials."""
        return replace(
            self, kind=Kind.SERVER, host=node.host, port=node.port, more=(), service="", sentinel_password=None
        )

    def sentinel(self, node: Node) -> "Address":
        """The sentinel `node`, with its own credentials."""
        return replace(self.at(node), username=None, password=self.sentinel_password, db=0)

    def __str__(self) -> str:
        if self.path:
            return f"unix://{quote(self.path)}" + (f"?db={self.db}" if self.db else "")
        user = "" if self.password is None else f"{quote(self.username or '', safe='')}:***@"
        scheme = self.kind.replace("redis", "rediss") if self.tls else self.kind
        service = f"/{quote(self.service, safe='')}" if self.service else ""
        return f"{scheme}://{user}{','.join(map(str, self.nodes))}{service}" + (f"/{self.db}" if self.db else "")

    def __repr__(self) -> str:
        return f"Address({self})"


def parse_address(url: str) -> Address:
    """Read a store URL; `InvalidInput` says what is wrong with it and never repeats a password."""
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        raise _refused("has no scheme")
    authority_end = min((at for at in map(rest.find, "/?#") if at >= 0), default=len(rest))
    userinfo, _, hosts = rest[:authority_end].rpartition("@")
    parts = urlsplit(rest[authority_end:])
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    address = _credentials(userinfo)
    if scheme == "unix":
        return _socket(address, hosts, unquote(parts.path), options)
    tls = scheme.startswith("rediss")
    try:
        kind = Kind(scheme.replace("rediss", "redis", 1))
    except ValueError:
        raise _refused(f"starts with {scheme}://") from None
    first, *more = (_node(item, SENTINEL_PORT if kind is Kind.SENTINEL else PORT) for item in hosts.split(","))
    if more and kind is Kind.SERVER:
        raise _refused("names several hosts, which only redis+cluster:// and redis+sentinel:// have")
    known = {"ca_file"} if tls else set()
    _check_options(options, known | ({"sentinel_password"} if kind is Kind.SENTINEL else set()))
    service, db = _service_and_db(kind, unquote(parts.path))
    return replace(
        address,
        kind=kind,
        host=first.host,
        port=first.port,
        more=tuple(more),
        tls=tls,
        ca_file=options.get("ca_file", ""),
        service=service,
        db=db,
        sentinel_password=options.get("sentinel_password"),
    )


def _credentials(userinfo: str) -> Address:
    username, colon, password = userinfo.partition(":")
    return Address(username=unquote(username) or None, password=unquote(password) if colon else None)


def _socket(address: Address, hosts: str, path: str, options: dict[str, str]) -> Address:
    if hosts or not path.startswith("/") or path == "/":
        raise _refused("names no absolute path of a socket")
    _check_options(options, {"db"})
    return replace(address, path=path, db=_database(options.get("db", "")))


def _node(text: str, default_port: int) -> Node:
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError as error:
        raise _refused("has a host or port that is not valid") from error
    if not parts.hostname:
        raise _refused("has no host" if not text else "has a port without its host")
    return Node(parts.hostname, default_port if port is None else port)


def _service_and_db(kind: Kind, path: str) -> tuple[str, int]:
    if kind is Kind.SERVER:
        return "", _database(path.removeprefix("/"))
    if kind is Kind.CLUSTER:
        if path.strip("/"):
            raise _refused("names a database, which a cluster does not have")
        return "", 0
    service, _, database = path.removeprefix("/").partition("/")
    if not service:
        raise _refused("does not name the service whose primary the sentinels know")
    return service, _database(database)


def _check_options(options: dict[str, str], known: set[str]) -> None:
    for option in options:
        if option not in known:
            raise _refused(f"has the unknown option {option!r}")


def _database(text: str) -> int:
    if text in {"", "0"}:
        return 0
    if not (text.isascii() and text.isdecimal()):
        raise _refused(f"has a database that must be a number, got {text!r}")
    return int(text)


def _refused(why: str) -> InvalidInput:
    return InvalidInput(f"{_WANTED}; the given one {why}.", "store.url")
