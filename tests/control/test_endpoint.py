from sidecar.control.endpoint import Call, Given, Repeat, endpoint
from sidecar.control.key_schema import CreateKey
from sidecar.control.schema import Health, Paging
from sidecar.domain.scopes import Scope


async def work(call: Call[CreateKey, Paging]) -> Given[Health]:
    """Do it.

    At length.
    """
    return Given(Health(status=call.body.name))


def test_what_an_endpoint_takes_and_gives_is_read_from_its_work() -> None:
    line = endpoint("POST", "/v1/x", work, {200: "Done."}, Repeat.RECORDED, scope=Scope.CREDITS_WRITE)
    assert (line.body, line.query, line.answer, line.name) == (CreateKey, Paging, Health, "work")
    assert not line.open
    assert endpoint("GET", "/v1/x", work, {}, scope=None).open


def test_what_belongs_to_a_customer_is_found_by_either_id() -> None:
    assert endpoint("GET", "/v1/customers/{customer_id}/x/{y}", work, {}, scope=None).paths == (
        "/v1/customers/{customer_id}/x/{y}",
        "/v1/customer-by-external-id/{external_customer_id}/x/{y}",
    )
    assert endpoint("GET", "/v1/customers", work, {}, scope=None).paths == ("/v1/customers",)
