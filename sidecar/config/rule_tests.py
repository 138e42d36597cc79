"""Test cases of rules, in YAML: a request and an answer, and what they shall match, hold and cost.

The format is described in ``docs/rules.md``. Cases are read as rule files are, all mistakes at once; what a case gets
wrong is a problem too, at the place of what was expected.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.rules import VERSION, load_rules
from sidecar.config.source import read
from sidecar.domain.amounts import MAX_AMOUNT, Unit, parse, render
from sidecar.domain.errors import InvalidInput
from sidecar.domain.metering import Charge, End, Source
from sidecar.domain.price import parse_number, usage_text
from sidecar.domain.quotes import Quote, Unquoted
from sidecar.domain.rehearsal import Answer, Rehearsal, Request, charge, rehearse
from sidecar.domain.rules import RuleSet
from sidecar.domain.usage_words import recorded

FILE_KEYS = ("version", "rules", "cases")
CASE_KEYS = ("name", "position", "request", "response", "expect")
REQUEST_KEYS = ("method", "path", "headers", "body", "form", "customer")
RESPONSE_KEYS = ("status", "headers", "body", "events", "lines", "trailers", "ended", "duration_ms")
EXPECT_KEYS = ("rule", "refused", "hold", "cost", "usage", "charged")
OF_AN_ANSWER = ("cost", "usage", "charged")
SOURCES = (Source.REPORTED, Source.ESTIMATED, Source.OBSERVED, Source.HOLD, Source.NONE)
_BOUNDARY = b"of-the-form-of-a-case"
_FILE_MAX_BYTES = 2**27
_FREE = Charge(0, "", Source.NONE, True)
_BODIES: Mapping[str, bytes] = {"body": b"application/json", "events": b"text/event-stream",
                                "lines": b"application/x-ndjson"}  # fmt: skip


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case; `expected` holds the places of what it expects."""

    name: str
    request: Request
    answer: Answer | None
    expected: Mapping[str, Cursor]
    position: Cursor | None = None
    """By meter, how many were counted before, of what counts over a period."""


class Suite(msgspec.Struct, frozen=True):
    """The cases of one file, for the rules that it names."""

    file: str
    rules: RuleSet
    cases: Sequence[Case]


def read_suite(path: Path, units: Mapping[str, Unit], otherwise: Sequence[Path] = ()) -> Suite:
    """The cases in a file; their rules are those of the paths that it names, or `otherwise`. ConfigError."""
    problems: list[Problem] = []
    document = read(path)
    root = Cursor(document, problems)
    top = root.entries(FILE_KEYS, "version, rules and cases")
    if "version" in top and top["version"].value != VERSION:
        top["version"].problem(f"this is version {VERSION} of the language", f"write `version: {VERSION}`")
    elif top and "version" not in top:
        root.problem("no `version`", f"add `version: {VERSION}`")
    paths = [
        path.parent / (item.text("a path") or "")
        for item in (top["rules"].one_or_items("a path, or a list of them") if "rules" in top else ())
    ]
    if top and not (paths or otherwise):
        root.problem("no `rules`: which files are tested?", "a path beside this file, such as ../openai.yaml")
    if top and "cases" not in top:
        root.problem("no `cases`", "a file has a list of them")
    cases = [_case(item) for item in top["cases"].items("a list of cases")] if "cases" in top else []
    if problems:
        raise ConfigError(problems)
    return Suite(str(path), load_rules(paths or otherwise, units), cases)


def failures(suite: Suite, units: Mapping[str, Unit]) -> list[list[Problem]]:
    """What each case gets wrong, in their order; an empty list for a case that is right."""
    return [_Run(suite.rules, units, case).failures() for case in suite.cases]


def _case(cursor: Cursor) -> Case:
    entries = cursor.entries(CASE_KEYS, "name, position, request, response and expect")
    for key in ("name", "request", "expect"):
        if entries and key not in entries:
            cursor.problem(f"no `{key}`")
    expected = entries["expect"].entries(EXPECT_KEYS, ", ".join(EXPECT_KEYS)) if "expect" in entries else {}
    _check_expected(expected)
    needless = next((key for key in OF_AN_ANSWER if key in expected), None)
    if needless is not None and "response" not in entries:
        expected[needless].problem("no `response` in this case: what would it cost?", at_key=True)
    return Case(
        name=(entries["name"].text("a name") if "name" in entries else None) or "",
        request=_request(entries["request"]) if "request" in entries else Request(method=b"GET", target=b"/"),
        answer=_answer(entries["response"]) if "response" in entries else None,
        expected=expected,
        position=_checked_positions(entries["position"]) if "position" in entries else None,
    )


def _checked_positions(cursor: Cursor) -> Cursor:
    for position in cursor.mapping("meters with how many were counted before").values():
        _whole(position, MAX_AMOUNT)
    return cursor


def _check_expected(expected: Mapping[str, Cursor]) -> None:
    """What could never come true, or has no meaning."""
    for key, cursor in expected.items():
        match key:
            case "hold" | "cost":
                cursor.written("a decimal amount")
            case "rule" | "refused":
                cursor.text("a name")
            case "charged":
                cursor.choice(SOURCES, "where a charge comes from")
            case "usage":
                for reading in cursor.mapping("meters with what is read").values():
                    _check_reading(reading)
        if "refused" in expected and key in {"hold", *OF_AN_ANSWER}:
            cursor.problem(f"a request that is refused has no {key}", at_key=True)


def _check_reading(cursor: Cursor) -> None:
    text = cursor.written("a number")
    if text is not None and parse_number(text) is None:
        cursor.problem(f"`{text}` is not what a meter could read", "a decimal number from 0")


def _request(cursor: Cursor) -> Request:
    entries = cursor.entries(REQUEST_KEYS, ", ".join(REQUEST_KEYS))
    if entries and "path" not in entries:
        cursor.problem("no `path`")
    bodies = [key for key in ("body", "form") if key in entries]
    if len(bodies) > 1:
        cursor.problem("a request has one body, not body and form")
    method = entries["method"].text("a method") if "method" in entries else "POST" if bodies else "GET"
    target = entries["path"].text("a path, with its query if it has one") if "path" in entries else None
    fields = _fields(entries["headers"]) if "headers" in entries else {}
    if "form" in entries:
        fields[b"content-type"] = b"multipart/form-data; boundary=%b" % _BOUNDARY
    return Request(
        method=(method or "").encode(),
        target=(target or "").encode(),
        fields=fields,
        body={"body": _body, "form": _form}[bodies[0]](entries[bodies[0]]) if bodies else b"",
        customer=(entries["customer"].text("a customer, by either id") if "customer" in entries else None) or "",
    )


def _answer(cursor: Cursor) -> Answer:
    entries = cursor.entries(RESPONSE_KEYS, ", ".join(RESPONSE_KEYS))
    kinds = [kind for kind in _BODIES if kind in entries]
    if len(kinds) > 1:
        cursor.problem(f"an answer has one body, not {' and '.join(kinds)}")
    fields = _fields(entries["headers"]) if "headers" in entries else {}
    body = b""
    if kinds:
        fields.setdefault(b"content-type", _BODIES[kinds[0]])
        body = {"body": _body, "events": _events, "lines": _lines}[kinds[0]](entries[kinds[0]])
    ended = entries["ended"].choice(tuple(End), "an end of an answer") if "ended" in entries else None
    return Answer(
        status=_whole(entries["status"], 999) if "status" in entries else 200,
        fields=fields,
        body=body,
        trailers=tuple(_fields(entries["trailers"]).items()) if "trailers" in entries else (),
        end=End(ended or End.COMPLETE),
        duration_ms=_whole(entries["duration_ms"], MAX_AMOUNT) if "duration_ms" in entries else 0,
    )


def _whole(cursor: Cursor, most: int) -> int:
    if type(cursor.value) is int and 0 <= cursor.value <= most:
        return cursor.value
    cursor.problem(f"expected a whole number from 0 to {most}")
    return 0


def _fields(cursor: Cursor) -> dict[bytes, bytes]:
    """Headers by lower-case name."""
    fields = {}
    for name, value in cursor.mapping("header names with their values").items():
        fields[name.lower().encode()] = (value.written("the value of a header") or "").encode()
    return fields


def _body(cursor: Cursor) -> bytes:
    """Text as it is, anything else as compact JSON."""
    value: Any = cursor.value
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def _form(cursor: Cursor) -> bytes:
    """A form in parts, each a text, or a file of so many bytes."""
    written = b""
    for name, value in cursor.mapping("fields with their texts, or files").items():
        head, content = f'Content-Disposition: form-data; name="{name}"', b""
        if isinstance(value.value, dict):
            entries = value.entries(("bytes",), "bytes: so many")
            content = bytes(_whole(entries["bytes"], _FILE_MAX_BYTES)) if "bytes" in entries else b""
            head += '; filename="file"'
        else:
            content = (value.written("the text of a field, or {bytes: 1000}") or "").encode()
        written += b"--%b\r\n%b\r\n\r\n%b\r\n" % (_BOUNDARY, head.encode(), content)
    return written + b"--%b--\r\n" % _BOUNDARY


def _events(cursor: Cursor) -> bytes:
    """Server-sent events."""
    written = b""
    for item in cursor.items("a list of events"):
        entries = item.entries(("event", "data"), "event and data")
        if "event" in entries:
            written += b"event: %b\n" % (entries["event"].text("the type of an event") or "").encode()
        for line in _body(entries["data"]).split(b"\n") if "data" in entries else ():
            written += b"data: %b\n" % line
        written += b"\n"
    return written


def _lines(cursor: Cursor) -> bytes:
    """One JSON text on each line."""
    return b"".join(_body(item) + b"\n" for item in cursor.items("a list of lines"))


class _Run:
    """One case against the rules."""

    def __init__(self, rules: RuleSet, units: Mapping[str, Unit], case: Case) -> None:
        self._case = case
        self._expected = case.expected
        self._problems: list[Problem] = []
        self._found = self._rehearsed(rules)
        self._unit = units[self._found.rule.unit] if self._found.rule is not None else None

    def _rehearsed(self, rules: RuleSet) -> Rehearsal:
        case = self._case
        try:
            return rehearse(rules, case.request, case.position.value if case.position is not None else None)
        except InvalidInput as error:
            assert case.position is not None
            self._fail(case.position, error.detail)
            return rehearse(rules, case.request)

    def failures(self) -> list[Problem]:
        found = self._found
        if "rule" in self._expected:
            self._compare("rule", found.rule.name if found.rule is not None else "none", hint=found.why)
        if "refused" in self._expected:
            self._compare("refused", found.refused or "nothing: it is forwarded", hint=_detail(found))
        elif found.refused:
            place = next(iter(self._expected.values()))
            self._fail(place, f"it is refused as {found.refused}", _detail(found))
        else:
            self._check_amounts()
        return self._problems

    def _check_amounts(self) -> None:
        quote, answer = self._found.quote, self._case.answer
        assert self._unit is not None, "a request that is not refused has a rule"
        if "hold" in self._expected:
            self._compare_amounts("hold", quote.hold if isinstance(quote, Quote) else 0)
        if answer is None:
            return
        charged = charge(quote, self._case.request, answer) if isinstance(quote, Quote) else _FREE
        hint = f"usage: {charged.usage or 'none was read'}; charged: {charged.source}"
        if "usage" in self._expected:
            self._compare_usage(charged.usage)
        if "charged" in self._expected:
            self._compare("charged", charged.source, hint=hint)
        if "cost" in self._expected:
            self._compare_amounts("cost", charged.amount, hint)

    def _compare_usage(self, found: str) -> None:
        cursor = self._expected["usage"]
        texts = {meter: cursor.document.text((*cursor.path, meter)) or "" for meter in cursor.value}
        expected = {meter: number for meter, text in texts.items() if (number := parse_number(text))}
        read = recorded(found).usage
        if expected != read:
            self._fail(
                cursor, f"the usage is {usage_text(read) or 'none'}, expected {usage_text(expected) or 'none'}"
            )

    def _compare_amounts(self, key: str, found: int, hint: str = "") -> None:
        cursor, unit = self._expected[key], self._unit
        assert unit is not None
        try:
            expected = parse(cursor.document.text(cursor.path) or "", unit, "it")
        except InvalidInput as error:
            self._fail(cursor, f"`{cursor.value}` is not an amount", error.detail)
            return
        if expected != found:
            said = f"the {key} is {render(found, unit)} {unit.name}, expected {render(expected, unit)}"
            self._fail(cursor, said, hint)

    def _compare(self, key: str, found: str, *, hint: str = "") -> None:
        cursor = self._expected[key]
        if cursor.value != found:
            said = {"rule": "the rule is", "refused": "refused is", "charged": "charged is"}[key]
            self._fail(cursor, f"{said} {found}, expected {cursor.value}", hint)

    def _fail(self, cursor: Cursor, message: str, hint: str = "") -> None:
        self._problems.append(cursor.document.problem(cursor.path, f"{self._case.name}: {message}", hint))


def _detail(found: Rehearsal) -> str:
    return found.quote.detail if isinstance(found.quote, Unquoted) else found.why
