"""``usage:`` of a rule file: a reader by its name, meters with a source each, or both."""

import re
from collections.abc import Mapping

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.config.problems import suggestion
from sidecar.config.rule_answers import read_statuses
from sidecar.config.rule_match import header_name
from sidecar.config.rule_price import parsed, rated_meters
from sidecar.domain import price_dimensions, request_meters
from sidecar.domain.forms import PartCounts, PartMeter
from sidecar.domain.match import PathPattern
from sidecar.domain.metering import Measure, Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.pointers import Mode, Place, Pointer, parse_pointer, pointer_reader
from sidecar.domain.meters.reader import Reader
from sidecar.domain.price import FLAT, Number, parse_number
from sidecar.domain.price_list import AnyPrice, leaves
from sidecar.domain.request_meters import Counts, RequestMeter

READER = "reader"
METER = re.compile(r"[a-z][a-z0-9_]{0,63}\Z", re.ASCII)
FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*\Z", re.ASCII)
PARAMETER = re.compile(r"[A-Za-z0-9._~\[\]-]+\Z", re.ASCII)
EVENT = re.compile(r"[\x21-\x7e]+\Z")
_NEEDED_HEADERS = frozenset(
    (
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"date",
        b"transfer-encoding",
        b"trailer",
    )
)
BODIES = ("json", "sse", "ndjson", "websocket")
_SSE = ("pointer", "mode", "event")
_NDJSON = ("pointer", "mode")
_REQUEST = ("request", "characters", "query", "path")
FIELDS = ("header", "trailer")
_PARTS = {"part": PartCounts.BYTES, "parts": PartCounts.PARTS}
SIDES = ("client", "server")
_KINDS = (*FIELDS, *BODIES, "bytes", "duration", "status", "messages", *_REQUEST, *_PARTS)
_A_SOURCE = ", ".join(_KINDS[:-1]) + f" or {_KINDS[-1]}"


class _Sources(msgspec.Struct):
    """What the mapping form of ``usage:`` names, by kind."""

    fields: dict[str, list[tuple[str, bytes]]] = msgspec.field(default_factory=lambda: {kind: [] for kind in FIELDS})
    measures: list[tuple[str, Measure]] = []
    statuses: list[tuple[str, frozenset[int]]] = []
    requests: list[tuple[str, RequestMeter]] = []
    parts: list[tuple[str, PartMeter]] = []
    json: dict[str, Pointer] = {}
    places: dict[str, dict[str, Place]] = msgspec.field(default_factory=lambda: {kind: {} for kind in BODIES[1:]})
    messages: list[tuple[str, str]] = []


def read_usage(cursor: Cursor, path: PathPattern | None = None) -> Meters:
    """What is measured of a request on `path` and of its answer."""
    if isinstance(cursor.value, str):
        return Meters(reader=_named(cursor))
    entries = cursor.mapping("a reader's name, or meters with their sources")
    named = entries.get(READER)
    reader = None
    if named is not None and isinstance(named.value, str):
        reader = _named(entries.pop(READER))
    sources = _Sources()
    for meter, source in entries.items():
        if not METER.match(meter) or meter == FLAT:
            source.problem(f"`{meter}` cannot be a meter's name", "lower case, digits and _; not `flat`", at_key=True)
        if reader is not None and meter in reader.meters:
            source.problem(f"the reader has a meter `{meter}` already", "give this one another name", at_key=True)
        _Source(meter, source, path, sources).read()
    if sources.json or any(sources.places.values()):
        if reader is not None:
            cursor.problem("a body is read by a reader or by pointers, not by both", "leave one of them out")
        reader = pointer_reader(sources.json, *sources.places.values())
    return Meters(
        reader=reader,
        headers=tuple(sources.fields["header"]),
        trailers=tuple(sources.fields["trailer"]),
        measures=tuple(sources.measures),
        statuses=tuple(sources.statuses),
        requests=tuple(sources.requests),
        parts=tuple(sources.parts),
        messages=tuple(sources.messages),
    )


def check_usage(
    cursor: Cursor, price_cursor: Cursor, meters: Meters, price: AnyPrice, charge_on: frozenset[int]
) -> None:
    """What is measured right and still would be charged wrong: statuses that never are, answers of another kind."""
    rated = set(rated_meters(price))
    for meter, statuses in meters.statuses:
        if not statuses & charge_on:
            place = Cursor(cursor.document, cursor.problems, (*cursor.path, meter))
            place.problem(f"`{meter}` never counts: no such answer is charged", "add its statuses to `charge_on`")
    apart = set(meters.reader.apart) if meters.reader is not None else set()
    if rated & apart and not all(apart <= set(leaf.meters) for leaf in leaves(price) if leaf.meters):
        price_cursor.problem(
            f"an answer may report only {' or only '.join(sorted(apart))}: without a rate it would be free",
            "give each a rate; 0 if it shall be free",
            at_key=True,
        )


def _named(cursor: Cursor) -> Reader | None:
    name = cursor.choice(READERS, "a reader")
    return READERS[name] if name is not None else None


class _Source:
    """Reads the source of one meter."""

    def __init__(self, meter: str, cursor: Cursor, path: PathPattern | None, sources: _Sources) -> None:
        self._meter = meter
        self._cursor = cursor
        self._path = path
        self._sources = sources

    def read(self) -> None:
        cursor, meter, sources = self._cursor, self._meter, self._sources
        entries = cursor.entries((*_KINDS, "default"), _A_SOURCE)
        default = self._default(entries)
        if len(entries) > 1 and not any(set(entries) <= set(together) for together in (BODIES, FIELDS)):
            cursor.problem(
                f"a meter has one source, not {' and '.join(entries)}",
                "only json, sse, ndjson and websocket can stand together, and header and trailer",
            )
        for kind, value in entries.items():
            match kind:
                case "header" | "trailer":
                    sources.fields[kind].append((meter, _header(value)))
                case "bytes" | "duration":
                    sources.measures.append((meter, _measure(kind, value)))
                case "status":
                    sources.statuses.append((meter, read_statuses(value)))
                case "json":
                    sources.json[meter] = _pointer(value)
                case "sse" | "ndjson" | "websocket":
                    sources.places[kind][meter] = _event_place(kind, value)
                case "part" | "parts":
                    sources.parts.append((meter, PartMeter(_parts(value), _PARTS[kind])))
                case "messages":
                    sources.messages.append((meter, value.choice(SIDES, "a side that sends messages") or SIDES[0]))
                case _:
                    told = self._told(kind, value, default)
                    sources.requests += [(meter, told)] if told is not None else []

    def _default(self, entries: dict[str, Cursor]) -> Number | None:
        """What a request tells that does not tell it; only such a source can have one."""
        cursor = entries.pop("default", None)
        if cursor is None:
            return None
        if not set(entries) & set(_REQUEST):
            cursor.problem(
                "`default` has no effect here", "it stands beside request, characters, query or path", at_key=True
            )
        text = cursor.written("a number from 0")
        number = parse_number(text) if text is not None else None
        if text is not None and number is None:
            cursor.problem(f"`{text}` is not a number from 0")
        return number

    def _told(self, kind: str, cursor: Cursor, default: Number | None) -> RequestMeter | None:
        text = cursor.text("a field of the request" if kind in ("request", "characters") else "a parameter's name")
        if text is None:
            return None
        if kind in ("request", "characters"):
            if FIELD.match(text):
                counts = Counts.CHARACTERS if kind == "characters" else Counts.VALUE
                return request_meters.of_body(text, counts, default)
            cursor.problem(
                f"`{text}` is not a field of a request", "write its name, with dots into objects: options.n"
            )
            return None
        if kind == "query":
            if PARAMETER.match(text):
                return request_meters.of_dimension(price_dimensions.of_query(text), default)
            cursor.problem(f"`{text}` is not the name of a parameter")
            return None
        known = self._path.parameters if self._path is not None else []
        if text in known and self._path is not None:
            return request_meters.of_dimension(price_dimensions.of_path(text, self._path), default)
        cursor.problem(f"the rule's path has no `{{{text}}}`", suggestion(text, known, listing="it has"))
        return None


def _measure(kind: str, cursor: Cursor) -> Measure:
    """What the proxy measures itself."""
    if kind == "duration":
        cursor.choice(("ms",), "a unit of time")
        return Measure.DURATION_MS
    side = cursor.choice(("request", "response"), "a body to count")
    return Measure(f"{side or 'request'}_bytes")


def _parts(cursor: Cursor) -> tuple[str, ...]:
    """Names of the parts of a form, one or several."""
    names = []
    for item in cursor.one_or_items("the name of a part"):
        name = item.text("the name of a part")
        if name is not None and not PARAMETER.match(name):
            item.problem(f"`{name}` is not the name of a part")
        names.append(name or "")
    return tuple(names)


def _header(cursor: Cursor) -> bytes:
    name = header_name(cursor)
    if name in _NEEDED_HEADERS:
        cursor.problem(f"`{name.decode()}` cannot be a meter: it would be taken out of the answer")
    return name or b""


def _event_place(kind: str, cursor: Cursor) -> Place:
    if kind == "ndjson":
        return _place(cursor, cursor.entries(_NDJSON, "pointer and mode"))
    return _place(cursor, cursor.entries(_SSE, "pointer, mode and event"))


def _place(cursor: Cursor, entries: Mapping[str, Cursor]) -> Place:
    if "pointer" not in entries and entries:
        cursor.problem("no `pointer`: where is the number?", "add `pointer: /usage/total_tokens`")
    mode = entries["mode"].choice(tuple(Mode), "a way to count") if "mode" in entries else None
    event = entries["event"].text("a type of event") if "event" in entries else None
    if event is not None and not EVENT.match(event):
        entries["event"].problem(f"`{event}` is not a type of event")
        event = None
    pointer = _pointer(entries["pointer"]) if "pointer" in entries else ()
    return Place(pointer, Mode(mode or Mode.LAST), (event or "").encode())


def _pointer(cursor: Cursor) -> Pointer:
    text = cursor.text("a JSON pointer such as /usage/total_tokens")
    return parsed(cursor, text, parse_pointer, "a JSON pointer") or ()
