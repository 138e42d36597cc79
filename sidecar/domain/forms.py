"""Forms as rules see them: fields of a request whose body is a form instead of JSON, and how large its parts are.

A form is what its ``Content-Type`` says, ``multipart/form-data`` or ``application/x-www-form-urlencoded``. A client
must not get another price by a form that its server reads in another way than we do, so whatever is known to be read
in different ways is refused: a field that is wanted and stands twice, or under a name that servers fold into it
(``Model``, ``model[]``, ``response.format``), a file in place of a field, another charset, a body that is JSON too.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from urllib.parse import unquote_to_bytes

import msgspec

from sidecar.domain.fields import Fields
from sidecar.domain.multipart import FormError, Part, Splitter, boundary_of, check_parameters
from sidecar.domain.price import Number

_FORM = re.compile(rb"multipart|urlencoded", re.IGNORECASE)
_CUT = re.compile(r"[\[\0]")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_MULTIPART = b"multipart/form-data"
_ENCODED = b"application/x-www-form-urlencoded"
_CHARSET = "_charset_"
"""A field that says how the others are to be read (RFC 7578 §4.6)."""


class PartCounts(StrEnum):
    """What of the parts of a form is counted: the bytes of their content, or the parts themselves."""

    BYTES = "bytes"
    PARTS = "parts"


class PartMeter(msgspec.Struct, frozen=True):
    """Counts the parts that have one of these names; none is 0."""

    names: tuple[str, ...]
    counts: PartCounts


def fields_of(fields: Fields, body: bytes, wanted: Collection[str]) -> dict[str, str]:
    """The `wanted` fields that the form in `body` has, by their names; FormError.

    A name with dots leads into an object, which is JSON: a form that has anything like its first part is refused.
    """
    content_type, kind = _form_in(fields)
    collector = _Collector(wanted)
    if kind == _MULTIPART:
        splitter = Splitter(boundary_of(content_type), collector)
        splitter.feed(body)
        splitter.end()
    else:
        _read_encoded(content_type, body, collector)
    return collector.found()


def _form_in(fields: Fields) -> tuple[bytes, bytes]:
    """The ``Content-Type`` and the kind of form that it says."""
    content_type = fields.get(b"content-type", b"")
    kind = content_type.partition(b";")[0].strip(b" \t").lower()
    if kind not in (_MULTIPART, _ENCODED):
        raise FormError("The request is no form, or its Content-Type can be read in more than one way.")
    if fields.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise FormError("A form must come without content coding: what it costs depends on it.")
    return content_type, kind


def may_be_form(fields: Fields) -> bool:
    """Whether anybody could take the body behind this head for a form."""
    content_type = fields.get(b"content-type")
    return content_type is not None and _FORM.search(content_type) is not None


class _Names:
    """The names that are looked for, and those that servers may take for one of them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._wanted = frozenset(names)
        self._folded = frozenset(map(_folded, self._wanted))

    def has(self, name: str) -> bool:
        """Whether `name` is looked for; FormError for one that only some servers take for such a name."""
        if name in self._wanted:
            return True
        folded = _folded(name)
        if folded in self._folded or folded == _CHARSET:
            raise FormError(f"The form has {name[:64]!a}: servers take that for a name that the cost depends on.")
        return False


def _folded(name: str) -> str:
    """What servers of all kinds may make of a name: PHP cuts it at brackets and folds dots, others fold case."""
    return _CUT.split(name, maxsplit=1)[0].strip().lower().replace(".", "_").replace(" ", "_")


class _Collector:
    """Receives the parts of a form and keeps the fields that are wanted."""

    def __init__(self, wanted: Collection[str]) -> None:
        plain = [name for name in wanted if "." not in name]
        self._names = _Names(plain)
        self._objects = _Names({name.partition(".")[0] for name in wanted if "." in name} - set(plain))
        self._pieces: dict[str, list[bytes]] = {}
        self._current: list[bytes] | None = None

    def wants(self, name: str) -> bool:
        """Whether a field of this name is looked for; FormError when it must not be there."""
        if self._objects.has(name.partition(".")[0]):
            raise FormError(f"`{name}` must be an object, in JSON: what the request costs depends on it.")
        return self._names.has(name)

    def begin(self, part: Part) -> None:
        self._current = None
        if not self.wants(part.name):
            return
        if part.name in self._pieces:
            raise FormError(f"The form has `{part.name}` more than once; send it once.")
        if part.is_file:
            raise FormError(f"`{part.name}` is a file in this form; send it as a field.")
        self._current = self._pieces[part.name] = []

    def add(self, content: bytes) -> None:
        if self._current is not None:
            self._current.append(content)

    def found(self) -> dict[str, str]:
        try:
            return {name: b"".join(pieces).decode() for name, pieces in self._pieces.items()}
        except UnicodeDecodeError:
            raise FormError("The form has text that is not UTF-8.") from None


def _read_encoded(content_type: bytes, body: bytes, collector: _Collector) -> None:
    """Show the pairs of an urlencoded body; some servers also take ``;`` between them."""
    check_parameters(content_type)
    if body.lstrip()[:1] in (b"{", b"["):
        raise FormError("The request is said to be a form and looks like JSON.")
    for pair in body.split(b"&"):
        value = pair.partition(b"=")[2]
        first, *others = (_decoded(piece.partition(b"=")[0]) for piece in pair.split(b";"))
        wanted = collector.wants(first)
        if any(map(collector.wants, others)) or (wanted and (others or _BAD_ESCAPE.search(value))):
            raise FormError("The form can be read in more than one way: send `;` and `%` as %3B and %25.")
        collector.begin(Part(first, is_file=False))
        if value:
            collector.add(unquote_to_bytes(value.replace(b"+", b" ")))


def _decoded(name: bytes) -> str:
    if _BAD_ESCAPE.search(name) is not None:
        # Some servers know escapes that others do not, such as %u006d.
        raise FormError("The form has a name with a `%` that begins no escape.")
    # What is not UTF-8 is no name that anybody looks for.
    return unquote_to_bytes(name.replace(b"+", b" ")).decode(errors="replace")


class Sizes:
    """Counts the parts of a form while its bytes pass, into `counts`, by meter; see `see`."""

    def __init__(self, fields: Fields, meters: Sequence[tuple[str, PartMeter]], counts: dict[str, Number]) -> None:
        """FormError when the request with these header fields has no form in parts."""
        content_type, kind = _form_in(fields)
        if kind != _MULTIPART:
            raise FormError("The request must be multipart/form-data: what it costs depends on its parts.")
        self._names = _Names({name for _, meter in meters for name in meter.names})
        self._meters = meters
        self._counts = counts
        self._counting: list[str] = []
        self._lost = False
        self._splitter = Splitter(boundary_of(content_type), self)
        counts.update(dict.fromkeys((meter for meter, _ in meters), 0))

    def see(self, piece: bytes, last: bool) -> str:
        """The next piece of the body; what is wrong with it, in a sentence, and nothing may be shown after that."""
        try:
            self._splitter.feed(piece)
            if last:
                self._splitter.end()
        except FormError as error:
            return str(error)
        return ""

    def glance(self, piece: bytes, last: bool) -> str:
        """As `see`, for who refuses nothing: nothing is ever wrong, and what follows a mistake is not counted."""
        self._lost = self._lost or bool(self.see(piece, last))
        return ""

    def begin(self, part: Part) -> None:
        self._counting = []
        if self._names.has(part.name):
            for name, meter in self._meters:
                if part.name not in meter.names:
                    continue
                if meter.counts is PartCounts.PARTS:
                    self._counts[name] += 1
                else:
                    self._counting.append(name)

    def add(self, content: bytes) -> None:
        for name in self._counting:
            self._counts[name] += len(content)
