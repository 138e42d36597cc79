"""The table of exits as docs/reliability.md shows it; `python -m tests.support.exits_page` writes it there."""

from collections import defaultdict
from pathlib import Path

from sidecar.domain.exits import EXITS, Event, Exit, Never, Pays, Phase
from sidecar.domain.problems import kind_of
from sidecar.proxy.exits import ENGINE_ENDS, ENGINE_PHASES, EXHAUSTED

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN = "<!-- The table of exits begins; `python -m tests.support.exits_page` writes it. -->\n"
END = "<!-- The table of exits ends. -->\n"

HEAD = """\
| Event | Charged | The client sees | The ledger says | Outcome | Decided by |
|---|---|---|---|---|---|
"""

PHASES = {
    Phase.RULE: "which rule decides",
    Phase.IDENTITY: "who pays; the store is asked for an external id that is new here",
    Phase.HOLD: "the body is read if the rule reads it, the request is quoted, credit is held",
    Phase.WAIT: "with `on_short: wait`, for holds in flight to end",
    Phase.CONNECT: "a connection to the upstream is had, a used one or a new one",
    Phase.TLS: "the handshake on a new one, if the upstream has `https`",
    Phase.SEND: "the request goes out, while more of its body comes in",
    Phase.HEAD: "all of it is sent, the head of the answer is awaited",
    Phase.BODY: "the answer passes through",
    Phase.SETTLE: "the answer has ended, its cost is committed",
}
EVENTS = {
    Event.CLIENT_GONE: "client gone",
    Event.CLIENT_BROKE: "client's bytes broken or late",
    Event.REFUSED: "refused",
    Event.RESET: "reset",
    Event.TIMEOUT: "timeout",
    Event.MALFORMED: "malformed",
    Event.STORE_ERROR: "store unreachable",
    Event.STORE_TIMEOUT: "store does not answer",
    Event.SHED: "too much to do",
    Event.LEFT_ALONE: "upstream left alone",
    Event.EXHAUSTED: "credit ends",
    Event.SHUTDOWN: "shutdown",
    Event.DEFECT: "defect of ours",
    Event.CRASH: "crash",
    Event.PAUSE: "pause",
}


def word(phase: Phase, event: Event) -> str:
    """What the ledger calls it."""
    if event is Event.DEFECT:
        return "defect"
    if event is Event.REFUSED and phase in (Phase.SEND, Phase.HEAD):
        return "head.refused"
    if event is Event.REFUSED and phase is Phase.BODY:
        return "body.refused"
    end = ENGINE_ENDS[Event.RESET if event in (Event.REFUSED, Event.LEFT_ALONE) else event]
    return f"{ENGINE_PHASES[phase]}.{end}"


def ledger(phase: Phase, event: Event, exit_: Exit) -> str:
    match exit_.pays:
        case Pays.NOTHING_HELD:
            return "no line"
        case Pays.RELEASED:
            return f"`release`: `{word(phase, event)}`"
        case Pays.GIVEN_BACK:
            return "no line, or `release` if it was held"
        case Pays.UNKNOWN | Pays.DELIVERED:
            name = word(phase, event)
            return f"`commit` with `end={name}`, or `release`: `{name}`"
        case Pays.HELD:
            return f"`commit` with `{EXHAUSTED.strip()}`"
        case Pays.COST:
            return "`commit`"
        case Pays.EXPIRED:
            return "`hold_expiry`"
        case Pays.LATE:
            return "`commit` or `late_commit`"


def _row(phase: Phase, event: Event, exit_: Exit) -> str:
    sees = f"{kind_of(exit_.answers).status} `{exit_.answers}`" if exit_.answers else ""
    sees = "; ".join(each for each in (sees, exit_.note) if each)
    keys = ", ".join(f"`{key}`" for key in exit_.keys)
    outcome = f"`{exit_.outcome}`" if exit_.outcome else "–"
    return f"| {EVENTS[event]} | {exit_.pays} | {sees} | {ledger(phase, event, exit_)} | {outcome} | {keys} |"


def _never(phase: Phase) -> str:
    events = defaultdict(list)
    for event in Event:
        cell = EXITS[phase, event]
        if isinstance(cell, Never):
            events[cell.why].append(EVENTS[event])
    said = "; ".join(f"{', '.join(names)} ({why})" for why, names in events.items())
    return f"\nCannot be: {said}.\n" if said else ""


def table() -> str:
    """All of it, in Markdown."""
    parts = []
    for phase in Phase:
        cells = ((event, EXITS[phase, event]) for event in Event)
        rows = [_row(phase, event, cell) for event, cell in cells if isinstance(cell, Exit)]
        parts.append(
            f"\n### {phase.upper() if phase is Phase.TLS else phase.capitalize()}: {PHASES[phase]}\n\n"
            + HEAD
            + "\n".join(rows)
            + "\n"
            + _never(phase)
        )
    return "".join(parts) + "\n"


def shown() -> str:
    """What stands in the page now."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
