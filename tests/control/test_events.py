"""Events over the control API: listed, followed, looked at."""

from tests.support.control import Control, assert_problem


async def test_they_are_followed_without_a_miss(control: Control) -> None:
    alice = await control.customer()
    await control.grant(f"/v1/customers/{alice}", 100, "k1", source="promotional")
    first = (await control.ask("GET", "/v1/events?after=0")).json["data"]
    assert [(each["sequence"], each["type"]) for each in first] == [(1, "customer.created"), (2, "credits.granted")]
    assert (first[1]["data"]["amount"], first[1]["data"]["source"], first[1]["unit"]) == (
        100,
        "promotional",
        "credits",
    )
    await control.ask("PATCH", f"/v1/customers/{alice}", {"status": "suspended"})
    await control.ask("POST", f"/v1/customers/{alice}/rename", {"external_id": "ada"})
    page = (await control.ask("GET", "/v1/events?after=2&limit=1")).json
    assert [each["type"] for each in page["data"]] == ["customer.suspended"]
    rest = (await control.ask("GET", f"/v1/events?after=2&limit=1&cursor={page['pagination']['next_cursor']}")).json
    assert [(each["type"], each["external_id"]) for each in rest["data"]] == [("customer.updated", "ada")]
    assert rest["pagination"] == {"has_more": False, "next_cursor": None}
    newest = (await control.ask("GET", "/v1/events?limit=1")).json["data"][0]
    assert newest == rest["data"][0]
    assert (await control.ask("GET", f"/v1/events/{newest['event_id']}")).json == newest


async def test_they_are_found_by_type_customer_and_time(control: Control) -> None:
    alice = await control.customer()
    await control.customer("bob")
    for query, count in (
        ("type=customer.created", 2),
        (f"customer_id={alice}", 1),
        ("type=credits.granted,credits.exhausted", 0),
        ("from=2001-01-01T00:00:00Z&to=2101-01-01T00:00:00Z", 2),
        ("to=2001-01-01T00:00:00Z", 0),
    ):
        assert len((await control.ask("GET", f"/v1/events?{query}")).json["data"]) == count, query


async def test_questions_without_an_answer(control: Control) -> None:
    for target, status, code in (
        ("/v1/events?type=credits.lost", 400, "invalid_input"),
        ("/v1/events?after=-1", 400, "invalid_input"),
        ("/v1/events?from=2101-01-01T00:00:00Z&to=2001-01-01T00:00:00Z", 400, "invalid_input"),
        ("/v1/events/evt_1", 404, "not_found"),
    ):
        assert_problem(await control.ask("GET", target), status, code)
