"""The engine's words for the rows of the table: where it cannot tell rows apart, they agree."""

import pytest

from sidecar.domain.exits import EXITS, Event, Exit, Pays, Phase, exit_of
from sidecar.domain.metering import RELEASED, SUCCESS, Charge, Source
from sidecar.domain.metering import End as MeterEnd
from sidecar.http1.errors import End, Failure
from sidecar.http1.errors import Phase as EnginePhase
from sidecar.http1.heads import parse_response
from sidecar.proxy import exits
from sidecar.proxy.upstreams import Unavailable

HELD = (Pays.RELEASED, Pays.NOTHING_HELD, Pays.GIVEN_BACK)
CELLS = [
    pytest.param(phase, event, cell, id=f"{phase}.{event}")
    for (phase, event), cell in EXITS.items()
    if phase in exits.ENGINE_PHASES and event in exits.ENGINE_ENDS and isinstance(cell, Exit)
]
TIMED_OUT = Failure(End.TIMED_OUT, EnginePhase.HEAD, True, "Too slow.")
BAD = parse_response(b"HTTP/1.1 503 Busy\r\n\r\n", b"GET", 10)
GOOD = parse_response(b"HTTP/1.1 200 OK\r\n\r\n", b"GET", 10)


def of(phase: EnginePhase, end: End) -> Exit:
    return exits.of_failure(Failure(end, phase, False, "It failed."))


@pytest.mark.parametrize(("phase", "event", "cell"), CELLS)
def test_rows_that_the_engine_cannot_tell_apart_agree(phase: Phase, event: Event, cell: Exit) -> None:
    if (phase, event) == (Phase.IDENTITY, Event.SHED) or (phase, event) == (Phase.WAIT, Event.SHED):
        return  # The engine has no part in these.
    meant = of(exits.ENGINE_PHASES[phase], exits.ENGINE_ENDS[event])
    assert (meant.answers, meant.meter_end) == (cell.answers, cell.meter_end)
    assert meant.pays is cell.pays or {meant.pays, cell.pays} <= set(HELD), "what is not held is not released"


@pytest.mark.parametrize("phase", EnginePhase)
@pytest.mark.parametrize("end", [End.CLIENT_GONE, End.CLIENT_BROKE, End.TIMED_OUT, End.CUT])
def test_whatever_ends_in_any_phase_has_a_row(phase: EnginePhase, end: End) -> None:
    assert of(phase, end).outcome


def test_an_upstream_that_is_left_alone_has_its_own() -> None:
    nobody = Unavailable(End.UPSTREAM_FAILED, EnginePhase.CONNECT, False, "Later.", 3)
    assert exits.of_failure(nobody) is exit_of(Phase.CONNECT, Event.LEFT_ALONE)


def test_an_answer_that_ended_well_is_told_to_its_meter_as_such() -> None:
    assert exits.meter_end_of(None) is MeterEnd.COMPLETE
    assert exits.meter_end_of(Failure(End.CUT, EnginePhase.BODY, True, "Bye.")) is MeterEnd.UPSTREAM_FAILED


def test_the_ledger_is_told_how_it_ended() -> None:
    unknown = Charge(0, "", Source.NONE, True)
    assert exits.why_released(TIMED_OUT, RELEASED, SUCCESS) == "head.timed_out: Too slow."
    assert exits.why_released(BAD, RELEASED, SUCCESS) == "head.refused: status 503"
    assert exits.why_released(GOOD, RELEASED, SUCCESS) == "body.refused: status 200, and an error in the answer"
    assert exits.why_released(GOOD, unknown, SUCCESS) == "body.complete: the usage is unknown"
    assert exits.why_released(None, RELEASED, SUCCESS).startswith("defect: ")


def test_a_charge_says_how_its_request_ended_if_not_well() -> None:
    charge = Charge(5, "input_tokens=1", Source.OBSERVED, False)
    assert exits.usage_of(GOOD, charge) == "input_tokens=1"
    assert exits.usage_of(TIMED_OUT, charge) == "input_tokens=1 end=head.timed_out"
    assert exits.usage_of(TIMED_OUT, Charge(5, "", Source.HOLD, False)) == "end=head.timed_out"
