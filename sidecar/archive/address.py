"""Where the archive is: a URL, parsed and checked. It does not connect.

A password never shows: `str` and `repr` mask it.
"""

import hashlib
import re
from urllib.parse import unquote, urlsplit

import msgspec

from sidecar.domain.errors import InvalidInput

_WANTED = (
    "The archive address must look like sqlite:///path/to/archive.db, with four slashes for an absolute path, "
    "or postgresql://[user:password@]host[:port]/database"
)
_SCHEMA_MAX = 63
"""What PostgreSQL keeps of a name."""
_PASSWORD_OPTION = re.compile(r"((?:^|&)(?:ssl)?password=)[^&]*", re.IGNORECASE)


class ArchiveAddress(msgspec.Struct, frozen=True, kw_only=True):
    """One database. `path` is set for a file of SQLite, else `dsn` is."""

    path: str = ""
    dsn: str = ""
    """PostgreSQL's connection URL with its password: never to be shown."""
    schema: str = ""
    """Of PostgreSQL; empty: whichever the user's connections have."""

    def apart(self, tenant: str, environment: str) -> "ArchiveAddress":
        """Where another tenant's environment has its archive: a file beside this one, or a schema of the database."""
        if self.path:
            stem, dot, suffix = self.path.rpartition(".")
            base, end = (stem, dot + suffix) if dot and "/" not in suffix else (self.path, "")
            return ArchiveAddress(path=f"{base}.{tenant}.{environment}{end}")
        schema = f"sidecar_{tenant}_{environment}"
        if len(schema) > _SCHEMA_MAX:
            schema = f"{schema[:30]}_{hashlib.sha256(schema.encode()).hexdigest()[:32]}"
        return ArchiveAddress(dsn=self.dsn, schema=schema)

    def __str__(self) -> str:
        if self.schema:
            return f"{_masked(self.dsn)} (schema {self.schema})"
        return _masked(self.dsn) if self.dsn else f"sqlite:///{self.path}"

    def __repr__(self) -> str:
        return f"ArchiveAddress({self})"


def parse_archive_address(url: str) -> ArchiveAddress:
    """Read an archive URL; `InvalidInput` says what is wrong with it and never repeats a password."""
    text = url.strip()
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # reading it checks it
    except ValueError as error:
        raise InvalidInput(f"{_WANTED}; the host or port of the given one is not valid.", "archive.url") from error
    if parts.scheme == "sqlite":
        path = unquote(parts.path.removeprefix("/"))
        if parts.netloc or not path or path == ":memory:" or path.endswith("/"):
            raise InvalidInput(f"{_WANTED}; the given one names no file.", "archive.url")
        if parts.query:
            raise InvalidInput(f"{_WANTED}; a file takes no options.", "archive.url")
        return ArchiveAddress(path=path)
    if parts.scheme not in {"postgresql", "postgres"}:
        given = f"starts with {parts.scheme}://" if parts.scheme else "has no scheme"
        raise InvalidInput(f"{_WANTED}; the given one {given}.", "archive.url")
    if len(parts.path) < 2:
        raise InvalidInput(f"{_WANTED}; the given one names no database.", "archive.url")
    return ArchiveAddress(dsn=text)


def _masked(dsn: str) -> str:
    parts = urlsplit(dsn)
    user, _, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    netloc = (f"{name}{':***' if colon else ''}@" if user else "") + host
    query = _PASSWORD_OPTION.sub(r"\1***", parts.query)
    return f"{parts.scheme}://{netloc}{parts.path}" + (f"?{query}" if query else "")
