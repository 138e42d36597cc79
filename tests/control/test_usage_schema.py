from sidecar.control.usage_schema import EventProblem, planned
from sidecar.domain.blocks import Slice
from sidecar.domain.errors import Denied, NotFound


def test_a_problem_of_an_event_says_what_was_missing() -> None:
    problem = EventProblem.of(Denied("insufficient_credits", "No.", {"required": 3, "available": 2, "unit": "x"}))
    assert (problem.code, problem.required, problem.available) == ("insufficient_credits", 3, 2)
    assert not EventProblem.of(NotFound("There is none.")).required


def test_slices_are_named_by_their_blocks() -> None:
    (shown,) = planned((Slice(7, 3),), {7: "blk_1"})
    assert (shown.block_id, shown.amount) == ("blk_1", 3)
