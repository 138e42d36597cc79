import json
from typing import Any

import pytest
from openapi_spec_validator import validate

from sidecar.control.endpoint import Repeat
from sidecar.control.openapi import document
from sidecar.control.routes import ENDPOINTS

DOCUMENT: dict[str, Any] = json.loads(document(ENDPOINTS))
OPERATIONS = {
    (method.upper(), path): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_the_document_is_valid() -> None:
    validate(DOCUMENT)


def test_it_has_every_route_and_no_other() -> None:
    assert OPERATIONS.keys() == {(each.method, path) for each in ENDPOINTS for path in each.paths}


def test_each_operation_has_a_name_and_a_summary_of_its_own() -> None:
    assert len({operation["operationId"] for operation in OPERATIONS.values()}) == len(OPERATIONS)
    assert all(operation["summary"].endswith(".") for operation in OPERATIONS.values())


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    references = {part.partition('"')[0] for part in json.dumps(DOCUMENT).split('"#/components/schemas/')[1:]}
    assert references
    assert references <= schemas.keys()


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: each.name)
def test_the_key_of_a_write_is_described_as_it_is_enforced(endpoint: Any) -> None:
    for path in endpoint.paths:
        parameters = OPERATIONS[endpoint.method, path]["parameters"]
        required = [each["required"] for each in parameters if each["name"] == "Idempotency-Key"]
        assert (
            required
            == {
                Repeat.READ: [],
                Repeat.BY_ITSELF: [],
                Repeat.RECORDED: [False],
                Repeat.REQUIRED: [True],
                Repeat.IN_LEDGER: [True],
            }[endpoint.repeat]
        )


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: each.name)
def test_what_changes_something_can_be_repeated(endpoint: Any) -> None:
    assert (endpoint.repeat is Repeat.READ) == (endpoint.method == "GET")


def test_the_amounts_have_their_bounds() -> None:
    amount = DOCUMENT["components"]["schemas"]["GrantCredits"]["properties"]["credits"]
    assert (amount["type"], amount["minimum"], amount["maximum"]) == ("integer", 1, 2**53 - 1)


def test_a_route_says_which_scope_it_asks_for() -> None:
    grant = OPERATIONS["POST", "/v1/customers/{customer_id}/credits/grant"]
    assert grant["security"] == [{"bearer": ["credits:write"]}, {"key": ["credits:write"]}]
    for (method, path), operation in OPERATIONS.items():
        for role in [role for way in operation["security"] for roles in way.values() for role in roles]:
            assert role.endswith(":read") or method != "GET", f"{method} {path} asks for {role}"


def test_only_the_open_routes_need_no_key() -> None:
    open_paths = {path for (_, path), operation in OPERATIONS.items() if operation["security"] == []}
    assert open_paths == {"/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/v1/reference", "/v1/settlements"}


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda each: each.name)
def test_who_asks_is_described_where_it_is_kept(endpoint: Any) -> None:
    names = {each["name"] for each in OPERATIONS[endpoint.method, endpoint.path]["parameters"]}
    actor = {"X-Actor-Id", "X-On-Behalf-Of", "X-Actor-Reason"}
    assert names & actor == (
        actor if endpoint.repeat in {Repeat.IN_LEDGER, Repeat.REQUIRED, Repeat.RECORDED} else set()
    )


def test_a_file_is_described_by_its_media_types() -> None:
    answer = OPERATIONS["GET", "/v1/ledger/export"]["responses"]["200"]
    assert answer["content"] == {"application/x-ndjson": {}, "text/csv; charset=utf-8": {}}


def test_the_span_of_a_question_is_named_from_and_to() -> None:
    names = {each["name"] for each in OPERATIONS["GET", "/v1/usage/summary"]["parameters"]}
    assert {"group_by", "from", "to", "limit", "cursor"} <= names
