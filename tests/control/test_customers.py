import asyncio

import pytest

from tests.support.control import Control, assert_problem


async def test_a_customer_is_made_once(control: Control) -> None:
    made = await control.ask("POST", "/v1/customers", {"external_id": "alice", "display_name": "Alice"})
    assert made.status == 201
    assert made.json["external_id"] == "alice"
    assert made.json["display_name"] == "Alice"
    assert made.json["status"] == "active"
    assert made.json["created_at"].endswith("Z")
    again = await control.ask("POST", "/v1/customers", {"external_id": "alice", "display_name": "Another"})
    assert again.status == 200
    assert again.json == made.json


@pytest.mark.parametrize("family", ["/v1/customers/{id}", "/v1/customer-by-external-id/alice"])
async def test_a_customer_is_shown_by_either_id(control: Control, family: str) -> None:
    customer_id = await control.customer()
    shown = await control.ask("GET", family.format(id=customer_id))
    assert shown.status == 200
    assert shown.json["customer_id"] == customer_id
    assert shown.json["external_id"] == "alice"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers/alice",
        "/v1/customers/cus_01arz3ndektsv4rrffq69g5fav",
        "/v1/customer-by-external-id/bob",
        "/v1/customer-by-external-id/{id}",
    ],
)
@pytest.mark.parametrize("rest", ["", "/credits", "/keys"])
async def test_an_id_of_one_family_is_never_looked_for_in_the_other(control: Control, path: str, rest: str) -> None:
    customer_id = await control.customer()
    answer = await control.ask("GET", path.format(id=customer_id) + rest)
    assert answer.status == 404
    assert answer.json["code"] == "not_found"


@pytest.mark.parametrize(
    ("segment", "external_id"),
    [
        ("a%2Fb", "a/b"),
        ("a%2fb", "a/b"),
        ("a%252Fb", "a%2Fb"),
        ("a%20b", "a b"),
        ("a+b", "a+b"),
        ("a%2Bb", "a+b"),
        ("user42:companion7", "user42:companion7"),
        ("%7Ba%7D", "{a}"),
        ("%3Fa%23b", "?a#b"),
        ("caf%C3%A9", "café"),
        ("cafe%CC%81", "café"),
        ("..", ".."),
        ("%2E%2E", ".."),
        ("%25", "%"),
    ],
)
async def test_the_external_id_is_one_segment_decoded_once(control: Control, segment: str, external_id: str) -> None:
    customer_id = await control.customer(external_id)
    for other in {"a/b", "a%2Fb", "a b", "a+b", "a%20b"} - {external_id}:
        await control.customer(other)
    shown = await control.ask("GET", f"/v1/customer-by-external-id/{segment}")
    assert shown.status == 200
    assert shown.json["customer_id"] == customer_id
    assert shown.json["external_id"] == external_id


@pytest.mark.parametrize("segment", ["%FF", "a%2", "a%zz", "%", "a%00b", "%20a", "x" * 256])
async def test_an_external_id_that_cannot_be_is_refused(control: Control, segment: str) -> None:
    answer = await control.ask("GET", f"/v1/customer-by-external-id/{segment}")
    assert answer.status == 400
    assert answer.json["code"] == "invalid_input"


@pytest.mark.parametrize("external_id", ["", "x" * 256, " a", "a ", "a\nb", "a\0b"])
async def test_a_customer_needs_an_id_that_can_be_told_apart(control: Control, external_id: str) -> None:
    answer = await control.ask("POST", "/v1/customers", {"external_id": external_id})
    assert answer.status == 400
    assert answer.json["errors"][0]["path"] == "$.external_id"


async def test_first_sightings_at_once_are_one_customer(control: Control) -> None:
    body = {"external_id": "alice"}
    answers = await asyncio.gather(*(control.ask("POST", "/v1/customers", body) for _ in range(50)))
    assert len({answer.json["customer_id"] for answer in answers}) == 1
    assert sorted(answer.status for answer in answers) == [200] * 49 + [201]


@pytest.mark.parametrize("by", ["parent_customer_id", "parent_external_id"])
async def test_a_member_of_a_pool_names_its_parent(control: Control, by: str) -> None:
    parent_id = await control.customer("boss")
    parent = {"parent_customer_id": parent_id, "parent_external_id": "boss"}
    made = await control.ask("POST", "/v1/customers", {"external_id": "alice", by: parent[by]})
    assert made.status == 201
    shown = await control.ask("GET", "/v1/customer-by-external-id/alice")
    assert shown.json == made.json
    assert {name: shown.json[name] for name in parent} == parent
    boss = (await control.ask("GET", f"/v1/customers/{parent_id}")).json
    assert (boss["parent_customer_id"], boss["parent_external_id"]) == (None, None)


async def test_the_parent_of_a_customer_that_is_there_stays(control: Control) -> None:
    parent_id = await control.customer("boss")
    await control.customer("alice")
    again = await control.ask("POST", "/v1/customers", {"external_id": "alice", "parent_external_id": "boss"})
    assert (again.status, again.json["parent_customer_id"]) == (200, None)
    member_id = await control.member("bob", parent_id)
    same = await control.ask("POST", "/v1/customers", {"external_id": "bob"})
    assert (same.json["customer_id"], same.json["parent_customer_id"]) == (member_id, parent_id)


@pytest.mark.parametrize(
    ("parent", "status", "code"),
    [
        ({"parent_customer_id": "cus_01arz3ndektsv4rrffq69g5fav"}, 404, "not_found"),
        ({"parent_external_id": "nobody"}, 404, "not_found"),
        ({"parent_customer_id": "boss"}, 400, "invalid_input"),
        ({"parent_external_id": ""}, 400, "invalid_input"),
        (
            {"parent_customer_id": "cus_01arz3ndektsv4rrffq69g5fav", "parent_external_id": "boss"},
            400,
            "invalid_input",
        ),
        ({"parent_external_id": "member"}, 409, "conflict"),
    ],
)
async def test_a_parent_that_cannot_be_one_makes_no_customer(
    control: Control, parent: dict[str, str], status: int, code: str
) -> None:
    await control.member("member", await control.customer("boss"))
    answer = await control.ask("POST", "/v1/customers", {"external_id": "alice", **parent})
    assert_problem(answer, status, code)
    assert (await control.ask("GET", "/v1/customer-by-external-id/alice")).status == 404
