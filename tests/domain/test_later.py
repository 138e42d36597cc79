"""What an upstream agrees to, and what it may say about it."""

from collections.abc import Mapping
from fractions import Fraction

import msgspec
import pytest

from sidecar.domain.errors import InvalidInput
from sidecar.domain.later import Later, Poll, SettleClaims, State
from sidecar.domain.metering import Bill, Meters, Tariff
from sidecar.domain.price import Price

QUOTE = Bill(
    Tariff(Meters(), max_charge=1000), Price.of({"gpu_ms": Fraction(2), "pages": Fraction(10)}, 5), 500,
    {"pages": 3}, ' request.model="m"',
)  # fmt: skip
CLAIMS = SettleClaims.of(
    QUOTE,
    until_ms=9,
    reservation_id="rsv_1",
    customer_id="cus_1",
    payer_id="cus_1",
    unit="credits",
    held=500,
    rule="r",
)


def test_usage_is_priced_as_it_was_agreed_with_what_the_request_told() -> None:
    assert CLAIMS.charge({"gpu_ms": 100}) == (235, 'pages=3 gpu_ms=100 request.model="m"')


def test_what_is_not_said_read_nothing() -> None:
    assert CLAIMS.charge({})[0] == 35


def test_it_never_costs_more_than_was_agreed() -> None:
    assert CLAIMS.charge({"gpu_ms": 10**6})[0] == 1000


@pytest.mark.parametrize("meter", ["pages", "tokens", ""])
def test_nothing_else_can_be_said(meter: str) -> None:
    with pytest.raises(InvalidInput, match="goes by gpu_ms, not by"):
        CLAIMS.charge({meter: 1})


def test_a_note_for_people() -> None:
    assert "status 201, 202 keeps its hold for 60 s" in Later(on=frozenset({202, 201}), within_s=60).note


NO_FIELDS: Mapping[bytes, bytes] = {}
POLL = Poll(
    path="/jobs/{id}/state", id_header=b"", id_pointer=("job", "id"), every_s=5, state=("status",),
    done=frozenset({"ok"}), failed=frozenset({"bad", "7"}),
)  # fmt: skip


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b'{"job": {"id": "j-1.x~_"}}', "/jobs/j-1.x~_/state"),
        (b'{"job": {"id": 42}}', "/jobs/42/state"),
        (b'{"job": {"id": "../admin"}}', None),
        (b'{"job": {"id": "a/b"}}', None),
        (b'{"job": {"id": ".."}}', None),
        (b'{"job": {"id": "."}}', None),
        (b'{"job": {"id": "..."}}', "/jobs/.../state"),
        (b'{"job": {"id": ""}}', None),
        (b'{"job": {"id": null}}', None),
        (b'{"job": 1}', None),
        (b"no json", None),
        (b"", None),
    ],
)
def test_only_a_plain_name_is_the_id_of_a_job(body: bytes, path: str | None) -> None:
    assert POLL.path_of(NO_FIELDS, body) == path


def test_an_id_may_stand_in_a_field() -> None:
    poll = msgspec.structs.replace(POLL, id_header=b"x-job")
    named: Mapping[bytes, bytes] = {b"x-job": b"7"}
    assert poll.path_of(named, b"") == "/jobs/7/state"
    assert poll.path_of(NO_FIELDS, b'{"job": {"id": 1}}') is None


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (b'{"status": "ok"}', State.DONE),
        (b'{"status": "bad"}', State.FAILED),
        (b'{"status": 7}', State.FAILED),
        (b'{"status": "queued"}', State.RUNNING),
        (b"{}", State.RUNNING),
        (b"\xff", State.RUNNING),
    ],
)
def test_the_state_of_a_job(body: bytes, state: State) -> None:
    assert POLL.state_of(body) is state
