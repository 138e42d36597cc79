from tests.cli.conftest import Command
from tests.support.control import Control

SMALL = {"key": "small", "credits": 100_000_000, "bonus_credits": 5_000_000, "price": 900, "currency": "EUR"}


async def test_what_is_bought_and_goes_back(sidecar: Command, control: Control) -> None:
    await control.ask("POST", "/v1/topup-packages", SMALL)
    listed = (await sidecar("topups", "packages")).out
    assert all(word in listed for word in ("small", "100", "5", "credits", "900 EUR", "yes"))
    bought = await sidecar("topups", "grant", "alice", "small", "--payment-id", "pay_1")
    assert bought.out.startswith("Granted: 100 credits and 5 as a bonus to alice (top_")
    again = await sidecar("topups", "grant", "alice", "small", "--payment-id", "pay_1", "--json")
    assert again.json["duplicate"]
    back = await sidecar("topups", "refund", again.json["topup_id"], "--let-go")
    assert back.out == (
        "Took it back: 105 credits voided, 0 credits charged (0 credits of it owed), 0 credits let go.\n"
    )


async def test_nothing_is_sold_that_is_no_package(sidecar: Command) -> None:
    assert (await sidecar("topups", "packages")).code == 0
    ran = await sidecar("topups", "grant", "alice", "small")
    assert (ran.code, ran.out) == (1, "")
    assert "no top-up package small" in ran.err
    back = await sidecar("topups", "refund", "top_1")
    assert (back.code, back.out) == (1, "")


async def test_what_is_asked_for_is_shown_and_declined(sidecar: Command, control: Control) -> None:
    assert (await sidecar("topups", "requests")).out == "Nobody should be charged now.\n"
    await control.ask("POST", "/v1/topup-packages", SMALL)
    await sidecar("topups", "grant", "alice", "small")
    rule = {"threshold": 200_000_000, "package_id": "small"}
    await control.ask("PUT", "/v1/customer-by-external-id/alice/auto-topup/credits", rule)
    (request,) = (await sidecar("topups", "requests", "--json")).json["data"]
    cells = (await sidecar("topups", "requests")).out.splitlines()[1].split()
    assert cells[:5] == [request["request_id"], request["customer_id"], "small", "105", "credits"]
    declined = await sidecar("topups", "decline", request["request_id"], "--reason", "The card has expired")
    assert declined.out == f"Declined {request['request_id']}: {request['customer_id']} is not charged for small.\n"
    again = await sidecar("topups", "decline", request["request_id"], "--json")
    assert again.json["reason"] == "The card has expired"


async def test_wrong_usage(sidecar: Command) -> None:
    for arguments in (["topups"], ["topups", "grant", "alice"], ["topups", "refund"]):
        assert (await sidecar(*arguments)).code == 2
