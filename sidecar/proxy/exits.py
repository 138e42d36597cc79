"""Which row of the table of exits the HTTP engine means: it knows fewer words, since it knows nothing of credits.

Where it cannot tell rows apart, they must agree about what the proxy does; `tests/proxy/test_exits.py` sees to that.
"""

from collections.abc import Container, Mapping
from types import MappingProxyType

from sidecar.domain.exits import EXITS, Event, Exit, Phase, exit_of
from sidecar.domain.metering import RELEASED, Charge
from sidecar.domain.metering import End as MeterEnd
from sidecar.http1.errors import End, Failure
from sidecar.http1.errors import Phase as EnginePhase
from sidecar.http1.heads import ResponseHead
from sidecar.proxy.upstreams import Unavailable

ENGINE_PHASES: Mapping[Phase, EnginePhase] = MappingProxyType(
    {
        # First, since the proxy asks what becomes of a hold.
        Phase.HOLD: EnginePhase.REQUEST,
        Phase.IDENTITY: EnginePhase.REQUEST,
        Phase.WAIT: EnginePhase.REQUEST,
        Phase.CONNECT: EnginePhase.CONNECT,
        Phase.TLS: EnginePhase.CONNECT,
        Phase.SEND: EnginePhase.HEAD,
        Phase.HEAD: EnginePhase.HEAD,
        Phase.BODY: EnginePhase.BODY,
    }
)
ENGINE_ENDS: Mapping[Event, End] = MappingProxyType(
    {
        Event.CLIENT_GONE: End.CLIENT_GONE,
        Event.CLIENT_BROKE: End.CLIENT_BROKE,
        Event.RESET: End.UPSTREAM_FAILED,
        Event.MALFORMED: End.UPSTREAM_FAILED,
        Event.TIMEOUT: End.TIMED_OUT,
        Event.SHED: End.SHED,
        Event.SHUTDOWN: End.CUT,
    }
)


def _by_engine() -> dict[tuple[EnginePhase, End], Exit]:
    found: dict[tuple[EnginePhase, End], Exit] = {}
    for phase, engine_phase in ENGINE_PHASES.items():
        for event, end in ENGINE_ENDS.items():
            cell = EXITS[phase, event]
            if isinstance(cell, Exit):
                found.setdefault((engine_phase, end), cell)
    return found


_BY_ENGINE = _by_engine()
_LEFT_ALONE = exit_of(Phase.CONNECT, Event.LEFT_ALONE)


EXHAUSTED = f" end={Phase.BODY}.{Event.EXHAUSTED}"
"""The word behind the usage of an answer that was cut because credit had ended."""


def of_failure(failure: Failure) -> Exit:
    """What a failure means for the hold, the client and the metrics."""
    return _LEFT_ALONE if isinstance(failure, Unavailable) else _BY_ENGINE[failure.phase, failure.end]


def meter_end_of(failure: Failure | None) -> MeterEnd:
    """How an answer ended that had begun; None: well."""
    return MeterEnd.COMPLETE if failure is None else of_failure(failure).meter_end or MeterEnd.COMPLETE


def name_of(failure: Failure) -> str:
    """How the ledger calls it: phase and event in the engine's words, such as ``head.timed_out``."""
    return f"{failure.phase}.{failure.end}"


def why_released(told: Failure | ResponseHead | None, charge: Charge, charge_on: Container[int]) -> str:
    """The reason of a release: what the upstream said, or why it said nothing; None: a defect of ours."""
    if told is None:
        return f"{Event.DEFECT}: the proxy failed while it handled this request"
    if isinstance(told, Failure):
        return f"{name_of(told)}: {told.detail}"
    if told.status not in charge_on:
        return f"head.refused: status {told.status}"
    if charge is RELEASED:
        return f"body.refused: status {told.status}, and an error in the answer"
    return "body.complete: the usage is unknown"


def usage_of(told: Failure | ResponseHead | None, charge: Charge) -> str:
    """The usage of a commit, with a word behind it that says how the request ended if not well."""
    if not isinstance(told, Failure) or charge.usage.endswith(EXHAUSTED):
        return charge.usage
    return f"{charge.usage} end={name_of(told)}".lstrip()
