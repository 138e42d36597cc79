"""What a rule matches: method, path pattern, host, headers.

Pure predicates, compiled when rules load; which rule comes first is `rules.RuleSet`'s business. A path pattern is
literal text with ``{name}`` for one or more characters of one segment and ``**`` as the last segment for the folder
itself and everything below it. A pattern also matches the path with one slash more at its end, since many servers
treat both alike, and a price must not be lost by it.
"""

import re
from functools import lru_cache

import msgspec

from sidecar.domain.errors import InvalidInput
from sidecar.domain.fields import Fields
from sidecar.domain.paths import normalise, readings

_PARAMETER = re.compile(r"\{([a-z][a-z0-9_]*)\}", re.ASCII)
_PORT = re.compile(r":[0-9]*\Z")
TAIL = "**"


class PathPattern(msgspec.Struct, frozen=True):
    """A compiled pattern; `literal` is the whole path if it has neither ``{…}`` nor ``**``."""

    text: str
    segments: tuple[str, ...]
    literal: bytes | None
    expression: re.Pattern[bytes]

    @property
    def parameters(self) -> list[str]:
        """The names of its ``{…}``, in order."""
        return _PARAMETER.findall(self.text)

    @property
    def cased(self) -> bool:
        """Whether it has a capital letter; names of parameters have none."""
        return self.text != self.text.lower()

    @classmethod
    def parse(cls, text: str) -> "PathPattern":
        """InvalidInput in one sentence when `text` is no pattern, or one that no request can have."""
        if not text.startswith("/"):
            raise InvalidInput("a path starts with `/`")
        if text != "/" and text.endswith("/"):
            raise InvalidInput("leave the slash at the end out: the pattern matches with and without it")
        *parents, last = segments = text[1:].split("/")
        if text != "/" and "" in segments:
            raise InvalidInput("a path with `//` in it never reaches a rule")
        if TAIL in "/".join(parents) or (TAIL in last and last != TAIL):
            raise InvalidInput("`**` may only be the whole last segment")
        seen: list[str] = []
        expression = "".join(_segment(segment, seen) for segment in segments)
        if len(seen) != len(set(seen)):
            raise InvalidInput("each `{name}` may stand only once in a path")
        fixed = not seen and last != TAIL
        return cls(
            text, tuple(segments), text.encode() if fixed else None, re.compile(expression.encode() + rb"/?\Z")
        )

    def matches(self, path: bytes) -> bool:
        """Whether one reading of a path (see `paths.readings`) matches."""
        return self.expression.match(path) is not None

    def covers(self, other: "PathPattern") -> bool:
        """Whether every path that `other` matches is matched by this one."""
        mine, theirs = self.segments, other.segments
        for index, segment in enumerate(mine):
            if segment == TAIL:
                return True
            if index >= len(theirs) or theirs[index] == TAIL or not _segment_covers(segment, theirs[index]):
                # `/a/**` also matches `/a`: an exact `/a` before it covers only a part of it.
                return False
        return len(mine) == len(theirs)


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """All conditions must hold. Empty `methods`: any; `host` "" is any, ``*.example.com`` any name below it."""

    methods: frozenset[bytes] = frozenset()
    path: PathPattern
    host: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def simple(self) -> bool:
        """Whether method and path alone decide."""
        return not self.host and not self.headers

    def holds_beyond_path(self, host: bytes, fields: Fields) -> bool:
        """Whether host and headers match; `fields` has lower-case names."""
        if self.host and not host_matches(self.host, host):
            return False
        for name, value in self.headers:  # noqa: SIM110 - a generator for `all` takes longer than the comparison
            if fields.get(name) != value:
                return False
        return True

    def why_not(self, method: bytes, path: bytes, host: bytes, fields: Fields) -> str | None:
        """The first condition that a request (normalised `path`) fails, for people; None when it matches."""
        if self.methods and method not in self.methods:
            wanted = " or ".join(sorted(name.decode() for name in self.methods))
            return f"the method is {method.decode('latin-1')}, not {wanted}"
        if not all(map(self.path.matches, readings(path))):
            return f"the path does not match {self.path.text}"
        if self.host and not host_matches(self.host, host):
            return f"the host is not {self.host}"
        for name, value in self.headers:
            if fields.get(name) != value:
                return f"the header {name.decode()} is not {value.decode()}"
        return None

    def covers(self, other: "Match") -> bool:
        """Whether every request that `other` matches is matched by this one."""
        return (
            (not self.methods or (bool(other.methods) and other.methods <= self.methods))
            and self.path.covers(other.path)
            and _host_covers(self.host, other.host)
            and set(self.headers) <= set(other.headers)
        )


def host_matches(pattern: str, host: bytes) -> bool:
    """Whether a Host field (any case, with or without port) is `pattern` or below its ``*.``."""
    name = _name_of(host)
    return name.endswith(pattern[1:]) and len(name) >= len(pattern) if pattern[0] == "*" else name == pattern


@lru_cache(maxsize=256)
def _name_of(host: bytes) -> str:
    return _PORT.sub("", host.decode("latin-1")).rstrip(".").lower()


def _host_covers(mine: str, theirs: str) -> bool:
    if not mine or mine == theirs:
        return True
    return bool(theirs) and mine[0] == "*" and theirs.lstrip("*").endswith(mine[1:]) and theirs != mine[2:]


def literals_of(segment: str) -> list[str]:
    """A segment's text before and after its ``{name}``, or all of it."""
    return _PARAMETER.split(segment)[::2]


def _segment(segment: str, seen: list[str]) -> str:
    """The expression of one segment with its leading slash; notes its parameter in `seen`."""
    if segment == TAIL:
        return r"(?:/.*)?"
    if segment in {".", ".."}:
        raise InvalidInput("a path with `.` or `..` segments never reaches a rule")
    literals = literals_of(segment)
    if len(literals) > 2:
        raise InvalidInput("only one `{name}` can stand in a segment")
    for literal in literals:
        if set(literal) & set("{}*"):
            raise InvalidInput("`{name}` (lower case) stands for text within a segment and `**` for all that follows")
        probe = f"/x{literal}".encode()
        if set(literal) & set("%;") or normalise(probe) != probe:
            raise InvalidInput("write the path decoded, in ASCII, without space, `%`, `;`, `?`, `#` or `\\`")
    seen.extend(_PARAMETER.findall(segment))
    return "/" + r"[^/]+".join(re.escape(literal) for literal in literals)


def _segment_covers(mine: str, theirs: str) -> bool:
    before, *after = literals_of(mine)
    if not after:
        return mine == theirs
    their_before, *their_after = literals_of(theirs)
    if their_after:
        return their_before.startswith(before) and their_after[0].endswith(after[0])
    return len(theirs) > len(before + after[0]) and theirs.startswith(before) and theirs.endswith(after[0])
