"""Customers are changed, found, renamed and forgotten."""

import asyncio

import pytest

from tests.support.control import Control, assert_problem

ALICE = "/v1/customer-by-external-id/alice"


async def test_what_is_left_out_stays(control: Control) -> None:
    body = {"external_id": "alice", "display_name": "Alice", "metadata": {"tier": "gold", "team": "a"}}
    made = await control.ask("POST", "/v1/customers", body)
    assert (made.json["version"], made.headers["ETag"]) == (1, '"1"')
    changed = await control.ask("PATCH", ALICE, {"metadata": {"tier": None, "seat": "7"}})
    assert changed.json == {**made.json, "version": 2, "metadata": {"seat": "7", "team": "a"}}
    assert changed.headers["ETag"] == '"2"'
    renamed = await control.ask("PATCH", ALICE, {"display_name": ""})
    assert renamed.json == {**changed.json, "version": 3, "display_name": ""}
    assert (await control.ask("PATCH", ALICE, {})).json == renamed.json


async def test_who_read_an_older_version_changes_nothing(control: Control) -> None:
    await control.customer()
    assert (await control.ask("PATCH", ALICE, {"display_name": "A"}, If_Match='"1"')).status == 200
    late = await control.ask("PATCH", ALICE, {"display_name": "B"}, If_Match='"1"')
    assert_problem(late, 412, "version_conflict")
    assert (await control.ask("GET", ALICE)).json["display_name"] == "A"
    assert (await control.ask("PATCH", ALICE, {"display_name": "C"}, If_Match="*")).status == 200


@pytest.mark.parametrize("tag", ["1", 'W/"1"', '"x"', '"1", "2"', '""', '"0"'])
async def test_an_etag_that_is_none_of_ours_is_refused(control: Control, tag: str) -> None:
    await control.customer()
    assert_problem(await control.ask("PATCH", ALICE, {}, If_Match=tag), 400, "invalid_input")


async def test_what_is_known_already_is_not_sent_again(control: Control) -> None:
    await control.customer()
    known = await control.ask("GET", ALICE, If_None_Match='"7", W/"1"')
    assert (known.status, known.raw, known.headers["ETag"]) == (304, b"", '"1"')
    await control.ask("PATCH", ALICE, {"display_name": "A"})
    assert (await control.ask("GET", ALICE, If_None_Match='"1"')).status == 200


async def test_a_change_can_be_repeated(control: Control) -> None:
    await control.customer()
    first = await control.ask("PATCH", ALICE, {"display_name": "A"}, Idempotency_Key="k1")
    await control.ask("PATCH", ALICE, {"display_name": "B"})
    again = await control.ask("PATCH", ALICE, {"display_name": "A"}, Idempotency_Key="k1")
    assert (again.raw, again.replayed, again.headers["ETag"]) == (first.raw, True, '"2"')
    assert (await control.ask("GET", ALICE)).json["display_name"] == "B"


@pytest.mark.parametrize(
    "body",
    [
        {"status": "merged"},
        {"status": None},
        {"external_id": "bob"},
        {"metadata": {"": "x"}},
        {"metadata": {"a": "x" * 501}},
        {"metadata": {str(number): "" for number in range(51)}},
        {"display_name": " a"},
    ],
)
async def test_what_cannot_be_changed_is_refused(control: Control, body: dict[str, object]) -> None:
    before = (await control.ask("POST", "/v1/customers", {"external_id": "alice"})).json
    assert_problem(await control.ask("PATCH", ALICE, body), 400, "invalid_input")
    assert (await control.ask("GET", ALICE)).json == before


async def test_a_new_external_id_frees_the_old_one(control: Control) -> None:
    customer_id = await control.customer()
    renamed = await control.ask("POST", f"{ALICE}/rename", {"external_id": "a/b"})
    assert (renamed.json["external_id"], renamed.json["version"]) == ("a/b", 2)
    assert (await control.ask("GET", "/v1/customer-by-external-id/a%2Fb")).json["customer_id"] == customer_id
    assert (await control.ask("GET", ALICE)).status == 404
    assert await control.customer("alice") != customer_id
    taken = await control.ask("POST", f"/v1/customers/{customer_id}/rename", {"external_id": "alice"})
    assert_problem(taken, 409, "conflict")


async def test_one_that_is_forgotten_is_known_by_its_id_alone(control: Control) -> None:
    body = {"external_id": "alice@example.com", "display_name": "Alice", "metadata": {"phone": "123"}}
    customer_id = (await control.ask("POST", "/v1/customers", body)).json["customer_id"]
    path = f"/v1/customers/{customer_id}"
    await control.ask("POST", f"{path}/keys", {"name": "laptop"})
    await control.grant(path, 100, "g1")
    forgotten = (await control.ask("POST", f"{path}/anonymise")).json
    assert (forgotten["external_id"], forgotten["status"]) == (f"anonymised:{customer_id}", "suspended")
    assert (forgotten["display_name"], forgotten["metadata"]) == ("", {})
    assert (await control.ask("GET", f"{path}/keys")).json["data"] == []
    assert (await control.ask("GET", f"{path}/credits")).json["balances"][0]["available"] == 100
    found = await control.ask("GET", "/v1/customers?search=alice")
    assert found.json["data"] == []
    assert (await control.ask("POST", f"{path}/anonymise")).json == forgotten


async def test_customers_are_listed_as_they_are(control: Control) -> None:
    ids = [await control.customer(f"c{number}") for number in range(3)]
    member = await control.member("m", ids[0])
    await control.ask("PATCH", f"/v1/customers/{ids[1]}", {"status": "suspended", "metadata": {"tier": "gold"}})
    first = (await control.ask("GET", "/v1/customers?limit=3")).json
    assert [each["customer_id"] for each in first["data"]] == [member, ids[2], ids[1]]
    assert (first["data"][0]["parent_external_id"], first["data"][2]["status"]) == ("c0", "suspended")
    cursor = first["pagination"]["next_cursor"]
    then = (await control.ask("GET", f"/v1/customers?limit=3&cursor={cursor}")).json
    assert [each["customer_id"] for each in then["data"]] == [ids[0]]
    assert then["pagination"] == {"has_more": False, "next_cursor": None}
    for query, found in {
        "status=suspended": [ids[1]],
        f"parent_customer_id={ids[0]}": [member],
        "external_id_prefix=c": ids[::-1],
        "search=C2": [ids[2]],
        "metadata=tier:gold": [ids[1]],
        "metadata=tier:tin": [],
    }.items():
        page = (await control.ask("GET", f"/v1/customers?{query}")).json
        assert [each["customer_id"] for each in page["data"]] == found, query


@pytest.mark.parametrize("query", ["cursor=x", "limit=251", "limit=0", "status=gone", "metadata=tier", "order=asc"])
async def test_a_list_that_cannot_be_is_refused(control: Control, query: str) -> None:
    assert_problem(await control.ask("GET", f"/v1/customers?{query}"), 400, "invalid_input")


async def test_changes_at_once_are_all_made(control: Control) -> None:
    await control.customer()
    changes = [{"metadata": {f"n{number}": "x"}} for number in range(8)]
    answers = await asyncio.gather(*(control.ask("PATCH", ALICE, change) for change in changes))
    assert {answer.status for answer in answers} == {200}
    assert len((await control.ask("GET", ALICE)).json["metadata"]) == 8
