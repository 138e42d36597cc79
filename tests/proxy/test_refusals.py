"""What a client is told when its request does not pass: marked as ours, honest, and readable by its SDK."""

import msgspec
import pytest

from sidecar.domain.amounts import CREDITS
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.problems import KINDS
from sidecar.domain.spend_caps import Capped, CapScope, Window
from sidecar.http1.errors import ProtocolError
from sidecar.proxy import refusals
from sidecar.proxy.refusals import Refusal

ENGINE = ["bad_request", "request_timed_out", "body_too_large", "uri_too_long", "headers_too_large", "internal"]


def told(refusal: Refusal) -> tuple[dict[str, str], dict[str, object]]:
    """Header fields and body."""
    fields = {name.decode().lower(): value.decode() for name, value in refusal.pairs}
    assert len(fields) == len(refusal.pairs)
    return fields, msgspec.json.decode(refusal.body, type=dict[str, object])


@pytest.mark.parametrize("shape", ["problem", "openai", "anthropic"])
@pytest.mark.parametrize("code", KINDS)
def test_every_refusal_is_marked_and_can_be_read(code: str, shape: str) -> None:
    refusal = Refusal(code, "Why.", "req_1", shape=shape)
    fields, body = told(refusal)
    assert refusal.status == KINDS[code].status
    assert (fields["x-sidecar-refusal"], fields["x-request-id"]) == (code, "req_1")
    assert fields["content-type"] == "application/problem+json"
    assert (body["status"], body["code"], body["detail"]) == (refusal.status, code, "Why.")
    if shape != "problem":
        error = body["error"]
        assert isinstance(error, dict)
        assert error["message"] == "Why."
        assert isinstance(error["type"], str)
    assert (body["type"] == "error") == (shape == "anthropic")


def test_only_waiting_is_worth_a_retry() -> None:
    for code, kind in KINDS.items():
        fields, _ = told(Refusal(code, "Why.", "req_1"))
        assert ("retry-after" in fields) == (kind.retry_after_s is not None)
        if kind.status < 500 and kind.retry_after_s is None:
            assert fields["x-should-retry"] == "false"
        else:
            assert "x-should-retry" not in fields
    fields, _ = told(Refusal("holds_in_flight", "Why.", "req_1", retry_after_s=7))
    assert (fields["retry-after"], "x-should-retry" in fields) == ("7", False)


@pytest.mark.parametrize("shape", ["problem", "openai", "anthropic"])
def test_an_unidentified_caller_is_challenged(shape: str) -> None:
    refusal = refusals.unidentified("req_1", shape)
    fields, _ = told(refusal)
    assert (refusal.status, fields["www-authenticate"]) == (401, 'Bearer realm="sidecar"')


def refused(code: RefusalCode, required: int = 0, available: int = 0, held: int = 0) -> Refused:
    return Refused(code, required, available, held)


def test_an_empty_purse_says_what_is_needed_and_what_is_there() -> None:
    refusal = refusals.of_refused(
        refused(RefusalCode.INSUFFICIENT_CREDITS, required=2_500_000, available=1_000_000, held=0),
        CREDITS,
        "req_1",
        "openai",
        retry_after_s=9,
    )
    fields, body = told(refusal)
    assert refusal.status == 402
    assert (fields["x-should-retry"], "retry-after" in fields) == ("false", False)
    assert body["detail"] == "This request needs 2.5 credits; 1 are available."
    assert (body["required"], body["available"], body["held"]) == (2_500_000, 1_000_000, 0)


def test_holds_in_flight_say_when_to_come_back() -> None:
    refusal = refusals.of_refused(
        refused(RefusalCode.HOLDS_IN_FLIGHT, required=2_000_000, available=1_000_000, held=3_000_000),
        CREDITS,
        "req_1",
        "problem",
        retry_after_s=9,
    )
    fields, body = told(refusal)
    assert (refusal.status, fields["retry-after"]) == (429, "9")
    assert "3 more are held by requests in flight" in str(body["detail"])


def test_codes_of_the_ledger_that_need_no_amounts() -> None:
    assert refusals.of_refused(refused(RefusalCode.UNIDENTIFIED), CREDITS, "r", "problem", 1).status == 401
    assert refusals.of_refused(refused(RefusalCode.CUSTOMER_SUSPENDED), CREDITS, "r", "problem", 1).status == 403


@pytest.mark.parametrize("code", ENGINE)
def test_errors_of_the_engine_keep_their_status(code: str) -> None:
    status = KINDS[code].status
    refusal = refusals.of_protocol_error(ProtocolError(status, code, "Why."), "req_1")
    assert (refusal.status, refusal.code) == (status, code)


def capped(wait_ms: int | None) -> Refused:
    cap = Capped(
        cap_id="cap_1",
        scope=CapScope.KEY,
        of="key_1",
        window=Window.DAY,
        amount=10_000_000,
        spent=8_000_000,
        held=1_500_000,
        reset_at_ms=1_800_000_000_000,
        wait_ms=wait_ms,
    )
    return Refused(RefusalCode.SPEND_CAP_REACHED, 600_000, 500_000, 1_500_000, "credits", capped=cap)


@pytest.mark.parametrize(
    ("wait_ms", "after", "retries"),
    [(None, None, "false"), (0, "2", None), (1_500, "2", None), (60_000, "60", None), (3_600_001, "3601", "false")],
)
def test_a_spend_cap_says_when_it_lets_the_request_through(
    wait_ms: int | None, after: str | None, retries: str | None
) -> None:
    refusal = refusals.of_refused(capped(wait_ms), CREDITS, "req_1", "openai", 2)
    fields, body = told(refusal)
    assert refusal.status == 429
    assert (fields.get("retry-after"), fields.get("x-should-retry")) == (after, retries)
    assert fields.get("retry-after-ms") == (str(wait_ms) if wait_ms else None)
    assert body["detail"] == (
        "The spend cap cap_1 lets 10 credits be spent in a day; 8 are spent and 1.5 are held, and this needs 0.6."
    )
    wanted = {"cap_id": "cap_1", "scope": "key", "key_id": "key_1", "window": "day", "amount": 10_000_000}
    wanted |= {"spent": 8_000_000, "held": 1_500_000, "reset_at": "2027-01-15T08:00:00Z", "required": 600_000}
    assert wanted.items() <= body.items()
