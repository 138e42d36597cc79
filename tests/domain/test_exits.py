"""The table of exits: whole, sound, and what the page says."""

import pytest

from sidecar.domain.exits import EXITS, Event, Exit, Never, Pays, Phase, exit_of
from sidecar.domain.metering import End
from sidecar.domain.problems import KINDS
from tests.support.exits_page import shown, table

CELLS = [pytest.param(*place, cell, id=f"{place[0]}.{place[1]}") for place, cell in EXITS.items()]
AFTER_DISPATCH = {Phase.SEND, Phase.HEAD, Phase.BODY}


def test_every_phase_has_every_event() -> None:
    assert len(EXITS) == len(Phase) * len(Event)


@pytest.mark.parametrize(("phase", "event", "cell"), CELLS)
def test_a_cell_says_what_becomes_of_the_hold_and_what_the_client_sees(
    phase: Phase, event: Event, cell: Exit | Never
) -> None:
    if isinstance(cell, Never):
        assert cell.why
        return
    assert cell.answers in KINDS or (not cell.answers and cell.note)
    assert cell.outcome or event is Event.CRASH
    # What is unknown may cost something only after a byte was sent; before, whatever was held goes back.
    decided_by_rule = cell.pays in (Pays.UNKNOWN, Pays.DELIVERED)
    assert not decided_by_rule or phase in AFTER_DISPATCH
    assert decided_by_rule == (cell.meter_end is not None) == ("on_unknown" in cell.keys)


def test_unknown_outcomes_are_told_to_the_meters_as_what_they_are() -> None:
    assert exit_of(Phase.BODY, Event.CLIENT_GONE).meter_end is End.CLIENT_GONE
    assert exit_of(Phase.BODY, Event.TIMEOUT).meter_end is End.UPSTREAM_FAILED


def test_what_cannot_be_has_no_exit() -> None:
    with pytest.raises(AssertionError, match=r"rule\.reset has happened"):
        exit_of(Phase.RULE, Event.RESET)


def test_the_page_shows_this_table() -> None:
    assert shown() == table(), "write it anew: python -m tests.support.exits_page"
