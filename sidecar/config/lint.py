"""Warnings about rules that are right and probably not meant. Errors are `rules`' business; nothing is refused here.

Each check looks at one rule without mistakes, and answers with problems of severity `WARNING`, at their places.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from sidecar.config.cursor import Cursor
from sidecar.config.lint_counters import lint_counters
from sidecar.config.lint_price import lint_price, prices_in
from sidecar.config.problems import Problem, Severity
from sidecar.config.rule_price import rated_meters
from sidecar.config.rule_usage import BODIES
from sidecar.config.rules import ReadRule
from sidecar.domain.amounts import MAX_AMOUNT, Unit, render
from sidecar.domain.match import TAIL, Match, PathPattern, literals_of
from sidecar.domain.meters.named import READERS

READER_PATHS: Mapping[str, tuple[str, ...]] = {
    "openai.chat": ("/chat/completions",),
    "openai.responses": ("/responses",),
    "openai.embeddings": ("/embeddings",),
    "openai.completions": ("/completions",),
    "openai.images": ("/images/generations", "/images/edits"),
    "openai.audio": ("/audio/transcriptions", "/audio/translations", "/audio/speech"),
    "openai.realtime": ("/realtime",),
    "anthropic.messages": ("/messages",),
    "google.gemini": (":generateContent", ":streamGenerateContent"),
    "mistral.chat": ("/chat/completions", "/fim/completions", "/agents/completions"),
    "cohere.chat": ("/chat",),
    "bedrock": ("/converse", "/converse-stream", "/invoke", "/invoke-with-response-stream"),
    "ollama": ("/api/chat", "/api/generate", "/api/embed"),
}
"""How the paths end of which a reader knows the answers; what follows a ``:`` is the end of a segment."""

_SUMS = {"total_tokens": ("prompt_tokens", "input_tokens", "completion_tokens", "output_tokens"),
         "totalTokenCount": ("promptTokenCount", "candidatesTokenCount", "cachedContentTokenCount"),
         "promptTokenCount": ("cachedContentTokenCount",)}  # fmt: skip
"""Counts with what lies inside them, side by side in an answer."""


def lint(rules: Sequence[ReadRule], units: Mapping[str, Unit]) -> list[Problem]:
    """All warnings, each place once, since rules may share a part by an alias."""
    found: dict[tuple[str, int, int, str], Problem] = {}
    for index, (rule, cursor) in enumerate(rules):
        problems: list[Problem] = []
        read = ReadRule(rule, Cursor(cursor.document, problems, cursor.path))
        _lint_capitals(read, rules[:index])
        if not rule.free:
            _lint_paid(read, units[rule.unit])
        for problem in problems:
            warning = msgspec.structs.replace(problem, severity=Severity.WARNING)
            found.setdefault((warning.file, warning.line, warning.column, warning.message), warning)
    return list(found.values())


def _lint_paid(read: ReadRule, unit: Unit) -> None:
    rule, cursor = read
    entries = cursor.mapping("a rule")
    lint_price(entries, rule.quoter.tariff.meters, unit)
    lint_counters(entries, rule.quoter.price, rule.quoter.hold, unit)
    _lint_hold(read, entries, unit)
    _lint_reader(rule.match, entries)
    _lint_classes(entries)


def _lint_capitals(read: ReadRule, earlier: Sequence[ReadRule]) -> None:
    """A path in capitals behind one in others: a server that ignores case could mean both, so it has no rule."""
    match, cursor = read.rule.match, read.cursor
    for rule, _ in earlier:
        if (match.path.cased or rule.match.path.cased) and _folded(rule.match).covers(_folded(match)):
            path = cursor.mapping("a rule")["match"].mapping("conditions")["path"]
            path.problem(f"no request gets this rule: `{rule.name}` before it has the path in other capitals",
                         "some servers ignore case, so such a request is refused")  # fmt: skip
            return


def _folded(match: Match) -> Match:
    return msgspec.structs.replace(match, path=PathPattern.parse(match.path.text.lower()))


def _lint_hold(read: ReadRule, entries: Mapping[str, Cursor], unit: Unit) -> None:
    """Holds that set nothing aside for something that costs, and amounts that never take effect."""
    quoter = read.rule.quoter
    most = quoter.tariff.max_charge
    if isinstance(quoter.hold, int):
        hold = entries["hold"]
        if quoter.hold == 0 and rated_meters(quoter.price):
            hold.problem("nothing is held: requests at the same time can spend more than there is",
                         "what one request may cost, or nearly")  # fmt: skip
        if quoter.hold > most < MAX_AMOUNT:
            hold.problem(f"never held: `max_charge` is {render(most, unit)}", "the smaller of the two is held")
        return
    reader = quoter.tariff.meters.reader
    falls_back = reader.falls_back if reader is not None else {}
    told = {meter for meter, _ in quoter.tariff.meters.requests}
    for meter in rated_meters(quoter.price):
        around = meter
        while around not in quoter.hold and around in falls_back:
            around = falls_back[around]
        if around not in quoter.hold and meter not in told:
            place = entries.get("hold", entries["price"])
            place.problem(f"nothing is held for `{meter}`, which has a rate", f"hold: {{{meter}: 1000}}", at_key=True)


def _lint_reader(match: Match, entries: Mapping[str, Cursor]) -> None:
    """A reader of one API's answers on a path or a method of which that API has none."""
    usage = entries.get("usage")
    if usage is None or not isinstance(usage.value, str):
        return
    name = usage.value
    method = "GET" if READERS[name].open_messages is not None else "POST"
    if match.methods and method.encode() not in match.methods:
        usage.problem(f"`{name}` reads answers to {method}, which this rule does not match")
    ends = READER_PATHS.get(name, ())
    if ends and not any(_may_end(match.path.segments, end) for end in ends):
        known = " and ".join(f"…{end}" for end in ends)
        usage.problem(f"`{name}` reads answers of {known}, not of {match.path.text}", "does the path serve that API?")


def _may_end(segments: Sequence[str], end: str) -> bool:
    """Whether any path of a pattern ends like this."""
    if segments[-1] == TAIL:
        return True
    if end.startswith(":"):
        *_, after = literals_of(segments[-1])
        return after.endswith(end) or (after != segments[-1] and end.endswith(after))
    wanted = end[1:].split("/")
    return len(segments) >= len(wanted) and all(map(_may_be, segments[-len(wanted) :], wanted))


def _may_be(segment: str, wanted: str) -> bool:
    before, *after = literals_of(segment)
    return segment == wanted or (bool(after) and wanted.startswith(before) and wanted.endswith(after[0]))


def _lint_classes(entries: Mapping[str, Cursor]) -> None:
    """Meters by pointer of which one counts what another one counts already, both with a rate."""
    usage, rated = entries.get("usage"), set()
    for price in prices_in(entries["price"]):
        rated |= set(price.value)
    if usage is None or not isinstance(usage.value, dict):
        return
    for kind in BODIES:
        pointers = dict(_pointers(usage, kind))
        places = usage.mapping("meters with their sources")
        for index, (meter, pointer) in enumerate(pointers.items()):
            same = (other for other in list(pointers)[:index] if pointers[other] == pointer)
            wider = (other for other in pointers if _inside(pointer, pointers[other]))
            around = next((other for other in (*same, *wider) if {meter, other} <= rated), None)
            if around is not None:
                places[meter].problem(
                    f"what `{meter}` counts is counted by `{around}` too, and both have a rate: it is charged twice",
                    "give a rate to one of them, or let the price be for the difference",
                    at_key=True,
                )


def _pointers(usage: Cursor, kind: str) -> Iterable[tuple[str, str]]:
    for meter, source in usage.value.items():
        given = source.get(kind) if isinstance(source, dict) else None
        # Places in other types of events are other places.
        if given is not None and not (isinstance(given, dict) and "event" in given):
            yield meter, given["pointer"] if isinstance(given, dict) else given


def _inside(pointer: str, other: str) -> bool:
    """Whether what `pointer` counts is a part of what `other` counts, as APIs name them."""
    parent, _, name = pointer.rpartition("/")
    other_parent, _, other_name = other.rpartition("/")
    return parent in _details(other_parent, other_name) or (
        parent == other_parent and name in _SUMS.get(other_name, ())
    )


def _details(parent: str, name: str) -> Iterator[str]:
    """Where an answer splits the count `name`; and where it splits the counts inside that one."""
    for each in (name, *_SUMS.get(name, ())):
        yield f"{parent}/{each}_details"
