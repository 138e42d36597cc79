"""Every way a request can end: phase × event → what is charged, what the client sees, what the ledger says.

The proxy reads this table when a request ends otherwise than well, and ``docs/reliability.md`` shows it. It decides
no amounts: what is unknown after the request was sent on, its rule decides (`metering`).
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import msgspec

from sidecar.domain.metering import End


class Phase(StrEnum):
    """Where a request is, in the order in which it goes through them."""

    RULE = "rule"
    IDENTITY = "identity"
    HOLD = "hold"
    WAIT = "wait"
    CONNECT = "connect"
    TLS = "tls"
    SEND = "send"
    HEAD = "head"
    BODY = "body"
    SETTLE = "settle"


class Event(StrEnum):
    """What can happen there."""

    CLIENT_GONE = "client_gone"
    CLIENT_BROKE = "client_broke"
    """Its bytes are not HTTP, above a limit, or too slow."""
    REFUSED = "refused"
    """Whoever is asked says no: our rules, the ledger, the upstream."""
    RESET = "reset"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"
    """The upstream's bytes are not HTTP."""
    STORE_ERROR = "store_error"
    """The store cannot be reached: nothing had an effect."""
    STORE_TIMEOUT = "store_timeout"
    """No answer: the effect is unknown."""
    SHED = "shed"
    """This process has too much to do already."""
    LEFT_ALONE = "left_alone"
    """The upstream has failed several times in a row."""
    EXHAUSTED = "exhausted"
    """Credit ends, and the rule says that the answer does too."""
    SHUTDOWN = "shutdown"
    """The time to end in is over."""
    DEFECT = "defect"
    """Our code raised."""
    CRASH = "crash"
    PAUSE = "pause"
    """The whole process stands still until the hold has expired, and goes on."""


class Pays(StrEnum):
    """What is charged."""

    NOTHING_HELD = "nothing is held"
    RELEASED = "nothing, the hold is released"
    GIVEN_BACK = "nothing, a hold that may have been taken is released"
    UNKNOWN = "known usage, else what `on_unknown` says"
    DELIVERED = "known usage, else what was delivered if `on_unknown: charge_estimate`, else nothing"
    HELD = "what was delivered, at most what is held"
    COST = "the cost, as ever"
    EXPIRED = "nothing, the hold expires"
    LATE = "the cost, late if the hold has expired"


class Exit(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the table.

    `answers` is the code of the problem that the client is told; empty when it is told none, as `note` then says.
    `outcome` is the label of ``sidecar_requests_total``, empty where the process does not live to count. `keys` are
    those of the rule, or settings, that decide.
    """

    pays: Pays
    answers: str = ""
    outcome: str = "refused"
    keys: tuple[str, ...] = ()
    note: str = ""

    @property
    def meter_end(self) -> End | None:
        """How a meter is told of it; None where there is none, since nothing was sent on."""
        return _METER_ENDS.get(self.pays)


_METER_ENDS = {Pays.UNKNOWN: End.CLIENT_GONE, Pays.DELIVERED: End.UPSTREAM_FAILED}


class Never(msgspec.Struct, frozen=True):
    """A cell that cannot be, and why."""

    why: str


Cell = Exit | Never

_ALONE = Never("the rule is found without waiting for anybody")
_NO_UPSTREAM = Never("the upstream is not asked yet")
_NO_STORE = Never("the store is not asked in this phase")
_CHOSEN = Never("that was decided before the hold was taken")
_SENT = Never("only a connection can be refused to a full queue; this request has one")
_NOT_GROWN = Never("the answer goes on; where its hold cannot grow for that, it may be exhausted")
_NOTHING_YET = Never("nothing of an answer has been delivered yet")
_WHOLE = Never("the request's body has come, or is not read in this phase")
_DEAD = Exit(pays=Pays.NOTHING_HELD, outcome="", note="the connection ends")
_DEAD_HOLDING = Exit(
    pays=Pays.EXPIRED, outcome="", keys=("timeouts.hold_ttl_s",), note="the connection ends; a sweep ends the hold"
)
_GOES_ON = Exit(pays=Pays.NOTHING_HELD, outcome="charged", note="the request goes on")
_LATE = Exit(
    pays=Pays.LATE,
    outcome="charged",
    note="the request goes on; its hold is taken again if it fits, else it is charged late",
)
_GONE_FREE = Exit(pays=Pays.NOTHING_HELD, outcome="client_gone", note="nobody is there to be told")
_GONE_HELD = Exit(pays=Pays.RELEASED, outcome="client_gone", note="nobody is there to be told")
_DRAINED = ("on_client_gone", "on_unknown")


def _nothing(code: str, note: str = "", *keys: str) -> Exit:
    return Exit(pays=Pays.NOTHING_HELD, answers=code, note=note, keys=keys)


def _released(code: str, note: str = "", *keys: str) -> Exit:
    return Exit(pays=Pays.RELEASED, answers=code, note=note, keys=keys)


def _delivered(code: str, *keys: str) -> Exit:
    return Exit(pays=Pays.DELIVERED, answers=code, outcome="released", note=_CUT, keys=("on_unknown", *keys))


_CUT = "the answer is cut; the code if its head had not gone out"
_OWN = "or 413 `body_too_large`, 408 `request_timed_out`"
_FAILED: dict[Event, Cell] = {
    Event.CLIENT_BROKE: Exit(pays=Pays.UNKNOWN, answers="bad_request", note=_OWN, keys=("on_unknown",)),
    Event.RESET: _released("upstream_broken", "sent again if `retry` says so", "retry"),
    Event.TIMEOUT: _released("upstream_timed_out", "sent again if `retry` says so", "retry"),
    Event.MALFORMED: _released("upstream_broken", "sent again if `retry` says so", "retry"),
    Event.STORE_ERROR: Never("the store is not asked; a hold that cannot be kept alive is charged late"),
    Event.STORE_TIMEOUT: Never("the store is not asked; a hold that cannot be kept alive is charged late"),
    Event.SHED: _SENT,
    Event.LEFT_ALONE: _SENT,
    Event.EXHAUSTED: _NOTHING_YET,
    Event.SHUTDOWN: _released("shutting_down", "", "timeouts.shutdown_s"),
    Event.DEFECT: Exit(pays=Pays.RELEASED, answers="internal", outcome="failed"),
    Event.CRASH: _DEAD_HOLDING,
    Event.PAUSE: _LATE,
}

_UNREACHED: dict[Event, Cell] = {
    Event.CLIENT_GONE: _GONE_HELD,
    Event.CLIENT_BROKE: Exit(pays=Pays.RELEASED, answers="bad_request", note=_OWN),
    Event.REFUSED: _released("upstream_unreachable", "another address is tried; again if `retry` says so", "retry"),
    Event.RESET: _released("upstream_unreachable", "another address is tried; again if `retry` says so", "retry"),
    Event.TIMEOUT: _released("upstream_timed_out", "another address is tried; again if `retry` says so", "retry"),
    Event.STORE_ERROR: Never("the store is not asked; a hold that cannot be kept alive is charged late"),
    Event.STORE_TIMEOUT: Never("the store is not asked; a hold that cannot be kept alive is charged late"),
    Event.EXHAUSTED: _NOTHING_YET,
    Event.SHUTDOWN: _released("shutting_down"),
    Event.DEFECT: Exit(pays=Pays.RELEASED, answers="internal", outcome="failed"),
    Event.CRASH: _DEAD_HOLDING,
    Event.PAUSE: _LATE,
}

_BRIDGED = "or the request goes on, out of a lease or an allowance"

_TABLE: dict[Phase, dict[Event, Cell]] = {
    Phase.RULE: {
        Event.CLIENT_GONE: _ALONE,
        Event.CLIENT_BROKE: _nothing("bad_request", "or another code of the head"),
        Event.REFUSED: _nothing("unmatched_route"),
        Event.RESET: _NO_UPSTREAM,
        Event.TIMEOUT: _ALONE,
        Event.MALFORMED: _NO_UPSTREAM,
        Event.STORE_ERROR: _NO_STORE,
        Event.STORE_TIMEOUT: _NO_STORE,
        Event.SHED: _nothing("overloaded", "", "limits.requests_max"),
        Event.LEFT_ALONE: Never("that is asked when the payer is known"),
        Event.EXHAUSTED: _NOTHING_YET,
        Event.SHUTDOWN: _ALONE,
        Event.DEFECT: Exit(pays=Pays.NOTHING_HELD, answers="internal", outcome="failed"),
        Event.CRASH: _DEAD,
        Event.PAUSE: _GOES_ON,
    },
    Phase.IDENTITY: {
        Event.CLIENT_GONE: _GONE_FREE,
        Event.CLIENT_BROKE: _nothing("bad_request", _OWN),
        Event.REFUSED: _nothing("unidentified"),
        Event.RESET: _NO_UPSTREAM,
        Event.TIMEOUT: _nothing("not_sent_in_time", "", "timeouts.total_s"),
        Event.MALFORMED: _NO_UPSTREAM,
        Event.STORE_ERROR: _nothing("store_unavailable"),
        Event.STORE_TIMEOUT: _nothing("store_unavailable", "a question has no effect"),
        Event.SHED: _nothing("too_many_in_flight", "", "limits.customer_share"),
        Event.LEFT_ALONE: _nothing("upstream_unavailable", "", "upstream.breaker_failures"),
        Event.EXHAUSTED: _NOTHING_YET,
        Event.SHUTDOWN: _nothing("shutting_down"),
        Event.DEFECT: Exit(pays=Pays.NOTHING_HELD, answers="internal", outcome="failed"),
        Event.CRASH: _DEAD,
        Event.PAUSE: _GOES_ON,
    },
    Phase.HOLD: {
        Event.CLIENT_GONE: _GONE_HELD,
        Event.CLIENT_BROKE: _released("bad_request", _OWN),
        Event.REFUSED: _nothing("insufficient_credits", "or another refusal of the ledger or the price", "on_short"),
        Event.RESET: _NO_UPSTREAM,
        Event.TIMEOUT: _released("not_sent_in_time", "", "timeouts.total_s"),
        Event.MALFORMED: _NO_UPSTREAM,
        Event.STORE_ERROR: _nothing("store_unavailable", _BRIDGED, "on_store_down"),
        Event.STORE_TIMEOUT: Exit(
            pays=Pays.GIVEN_BACK, answers="store_unavailable", note=_BRIDGED, keys=("on_store_down",)
        ),
        Event.SHED: _nothing("overloaded", "", "limits.bodies_max_bytes"),
        Event.LEFT_ALONE: _CHOSEN,
        Event.EXHAUSTED: _NOTHING_YET,
        Event.SHUTDOWN: _released("shutting_down"),
        Event.DEFECT: Exit(pays=Pays.GIVEN_BACK, answers="internal", outcome="failed"),
        Event.CRASH: _DEAD_HOLDING,
        Event.PAUSE: _LATE,
    },
    Phase.WAIT: {
        Event.CLIENT_GONE: Exit(pays=Pays.GIVEN_BACK, outcome="client_gone", note="nobody is there to be told"),
        Event.CLIENT_BROKE: Exit(pays=Pays.GIVEN_BACK, answers="bad_request", note=_OWN),
        Event.REFUSED: _nothing("holds_in_flight", "or 402 when it cannot fit any more", "on_short"),
        Event.RESET: _NO_UPSTREAM,
        Event.TIMEOUT: Exit(pays=Pays.GIVEN_BACK, answers="not_sent_in_time", keys=("timeouts.total_s",)),
        Event.MALFORMED: _NO_UPSTREAM,
        Event.STORE_ERROR: Exit(
            pays=Pays.GIVEN_BACK, answers="store_unavailable", keys=("on_short",), note="tried until the wait is over"
        ),
        Event.STORE_TIMEOUT: Exit(
            pays=Pays.GIVEN_BACK, answers="store_unavailable", keys=("on_short",), note="tried until the wait is over"
        ),
        Event.SHED: _nothing("holds_in_flight", "", "limits.waiting_max"),
        Event.LEFT_ALONE: _CHOSEN,
        Event.EXHAUSTED: _NOTHING_YET,
        Event.SHUTDOWN: Exit(pays=Pays.GIVEN_BACK, answers="shutting_down"),
        Event.DEFECT: Exit(pays=Pays.GIVEN_BACK, answers="internal", outcome="failed"),
        Event.CRASH: Exit(pays=Pays.NOTHING_HELD, outcome="", note="the connection ends; the queue passes it over"),
        Event.PAUSE: _LATE,
    },
    Phase.CONNECT: {
        **_UNREACHED,
        Event.MALFORMED: Never("nothing is read before the request is sent"),
        Event.SHED: _released("overloaded", "", "upstream.waiting_max"),
        Event.LEFT_ALONE: _released("upstream_unavailable", "it began while the hold was taken"),
    },
    Phase.TLS: {
        **_UNREACHED,
        Event.REFUSED: _released("upstream_unreachable", "its certificate is not valid for us"),
        Event.MALFORMED: _released("upstream_unreachable", "it does not speak TLS"),
        Event.SHED: _SENT,
        Event.LEFT_ALONE: _SENT,
    },
    Phase.SEND: {
        Event.CLIENT_GONE: Exit(
            pays=Pays.UNKNOWN, outcome="client_gone", keys=("on_unknown",), note="half a request is never drained"
        ),
        Event.REFUSED: Exit(
            pays=Pays.RELEASED,
            outcome="released",
            keys=("charge_on", "retry"),
            note="the upstream's answer, whose status is not charged",
        ),
        **_FAILED,
    },
    Phase.HEAD: {
        Event.CLIENT_GONE: Exit(
            pays=Pays.UNKNOWN, outcome="client_gone", keys=_DRAINED, note="read to its end first, unless `abort`"
        ),
        Event.REFUSED: Exit(
            pays=Pays.RELEASED,
            outcome="released",
            keys=("charge_on", "retry"),
            note="the upstream's answer, whose status is not charged",
        ),
        **_FAILED,
        Event.CLIENT_BROKE: _WHOLE,
    },
    Phase.BODY: {
        Event.CLIENT_GONE: Exit(
            pays=Pays.UNKNOWN, outcome="charged", keys=_DRAINED, note="what is no stream is read to its end first"
        ),
        Event.REFUSED: Exit(
            pays=Pays.RELEASED, outcome="released", note="the upstream's answer, which reports an error and no usage"
        ),
        Event.RESET: _delivered("upstream_broken"),
        Event.TIMEOUT: _delivered("upstream_timed_out"),
        Event.MALFORMED: _delivered("upstream_broken"),
        Event.SHUTDOWN: _delivered("shutting_down", "timeouts.shutdown_s"),
        Event.CLIENT_BROKE: Exit(
            pays=Pays.UNKNOWN, answers="bad_request", outcome="charged", note=_CUT, keys=("on_unknown",)
        ),
        **{event: cell for event, cell in _FAILED.items() if isinstance(cell, Never)},
        Event.STORE_ERROR: _NOT_GROWN,
        Event.STORE_TIMEOUT: _NOT_GROWN,
        Event.EXHAUSTED: Exit(
            pays=Pays.HELD,
            outcome="charged",
            keys=("on_exhausted",),
            note="what the API has for an end, or the connection breaks off",
        ),
        Event.DEFECT: Exit(pays=Pays.RELEASED, answers="internal", outcome="failed", note=_CUT),
        Event.CRASH: _DEAD_HOLDING,
        Event.PAUSE: _LATE,
    },
    Phase.SETTLE: {
        Event.CLIENT_GONE: Exit(pays=Pays.COST, outcome="charged", note="settled as ever"),
        Event.CLIENT_BROKE: _WHOLE,
        Event.REFUSED: Exit(
            pays=Pays.EXPIRED,
            outcome="charged",
            note="the store has forgotten the hold: logged, `sidecar_settlements_abandoned_total`",
        ),
        Event.RESET: Never("the answer has ended"),
        Event.TIMEOUT: Never("the store's own time limit ends each try: a store timeout"),
        Event.MALFORMED: Never("the answer has ended"),
        Event.STORE_ERROR: Exit(
            pays=Pays.LATE,
            outcome="charged",
            note="the whole answer; kept on disk, and tried until 15 minutes after the deadline",
        ),
        Event.STORE_TIMEOUT: Exit(
            pays=Pays.LATE, outcome="charged", note="the whole answer; tried again, and in effect once"
        ),
        Event.SHED: Never("settlements are never shed"),
        Event.LEFT_ALONE: Never("the answer has ended"),
        Event.EXHAUSTED: Never("the answer has ended"),
        Event.SHUTDOWN: Exit(
            pays=Pays.COST,
            outcome="charged",
            keys=("timeouts.shutdown_s",),
            note="what ends waits for the settlement",
        ),
        Event.DEFECT: Exit(pays=Pays.LATE, outcome="charged", note="the whole answer; tried once more"),
        Event.CRASH: Exit(
            pays=Pays.EXPIRED,
            outcome="",
            keys=("timeouts.hold_ttl_s",),
            note="charged if the store had it already, or it was kept on disk",
        ),
        Event.PAUSE: Exit(pays=Pays.LATE, outcome="charged", note="the whole answer"),
    },
}

EXITS: Mapping[tuple[Phase, Event], Cell] = MappingProxyType(
    {(phase, event): _TABLE[phase][event] for phase in Phase for event in Event}
)
"""Every phase with every event."""


def exit_of(phase: Phase, event: Event) -> Exit:
    """The cell of something that has happened, which therefore can."""
    cell = EXITS[phase, event]
    assert isinstance(cell, Exit), f"{phase}.{event} has happened, though {cell.why}"
    return cell
