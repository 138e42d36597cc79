"""The clock of an environment in which time can be moved, over HTTP."""

from datetime import datetime, timedelta
from typing import Any

from tests.support.control import Control, assert_problem

ALICE = "/v1/customer-by-external-id/alice"
CLOCK = "/v1/test/clock"
DAY_S = 86_400


async def advanced(control: Control, seconds: int) -> dict[str, Any]:
    answer = await control.ask("POST", f"{CLOCK}/advance", {"seconds": seconds})
    assert answer.status == 200
    moved: dict[str, Any] = answer.json
    return moved


async def test_a_month_passes(control: Control) -> None:
    """Credit expires, a window of a spend cap begins anew, and the ledger has it at its time."""
    await control.customer()
    await control.grant(ALICE, 100, "kept")
    await control.grant(ALICE, 50, "ends", expires_in_seconds=30 * DAY_S)
    cap = {"amount": 20, "window": "month"}
    assert (await control.ask("POST", f"{ALICE}/spend-caps", cap)).status == 201
    spend = {"account_id": "alice", "resource_type": "credits", "amount": 20}
    assert (await control.ask("POST", "/v1/spend", spend, Idempotency_Key="s1")).status == 200
    assert_problem(await control.ask("POST", "/v1/spend", spend, Idempotency_Key="s2"), 429, "spend_cap_reached")
    before = datetime.fromisoformat((await control.ask("GET", CLOCK)).json["now"])
    moved = await advanced(control, 31 * DAY_S)
    assert datetime.fromisoformat(moved["now"]) - before >= timedelta(days=31)
    assert moved["ahead_seconds"] == 31 * DAY_S
    (balance,) = (await control.ask("GET", f"{ALICE}/credits")).json["balances"]
    assert (balance["available"], balance["spent"], balance["expired"]) == (100, 20, 30)
    assert (await control.ask("POST", "/v1/spend", spend, Idempotency_Key="s3")).status == 200
    last, expiry, *_ = (await control.ask("GET", f"{ALICE}/ledger")).json["data"]
    assert (last["type"], expiry["type"]) == ("commit", "expiry")
    assert datetime.fromisoformat(last["recorded_at"]) >= before + timedelta(days=31)
    assert datetime.fromisoformat(expiry["event_time"]) < before + timedelta(days=31)
    past = await control.ask("GET", f"{ALICE}/credits?at={before:%Y-%m-%dT%H:%M:%SZ}")
    assert past.status == 200


async def test_it_goes_only_forwards_and_not_too_far(control: Control) -> None:
    shown = (await control.ask("GET", CLOCK)).json
    assert (shown["now"], shown["ahead_seconds"]) == (shown["real_now"], 0)
    now = datetime.fromisoformat(shown["now"])
    later = await control.ask("PUT", CLOCK, {"now": f"{now + timedelta(days=2):%Y-%m-%dT%H:%M:%SZ}"})
    assert datetime.fromisoformat(later.json["now"]) > now + timedelta(days=1)
    assert_problem(await control.ask("PUT", CLOCK, {"now": shown["now"]}), 409, "conflict")
    assert_problem(await control.ask("PUT", CLOCK, {"now": "2099-01-01T00:00:00Z"}), 409, "conflict")
    for seconds in (0, -5, 10**12):
        assert_problem(await control.ask("POST", f"{CLOCK}/advance", {"seconds": seconds}), 400, "invalid_input")
    again = [await control.ask("POST", f"{CLOCK}/advance", {"seconds": 60}, Idempotency_Key="k") for _ in range(2)]
    assert again[0].raw == again[1].raw


async def test_operators_go_by_the_real_time(control: Control) -> None:
    made = await control.ask("POST", "/v1/admin/api-keys", {"name": "ci", "expires_in_seconds": 3600})
    await advanced(control, DAY_S)
    assert (await control.ask("GET", "/v1/customers", key=made.json["secret"])).status == 200
    real = datetime.fromisoformat((await control.ask("GET", CLOCK)).json["real_now"])
    entry = (await control.ask("GET", "/v1/admin/audit")).json["data"][0]
    assert datetime.fromisoformat(entry["at"]) <= real
