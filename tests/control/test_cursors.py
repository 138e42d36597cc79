"""A cursor goes on with its own list and with nothing else."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.control.cursors import PURPOSE, Pages
from sidecar.control.key_schema import KeyPage
from sidecar.control.routes import ENDPOINTS
from sidecar.control.schema import Pagination, Paging
from sidecar.domain.errors import InvalidInput
from sidecar.domain.tokens import Signer
from tests.support.control import SIGNING_KEY, Control, assert_problem

KEYS, CONTROL_KEYS = (
    next(each for each in ENDPOINTS if each.name == name) for name in ("list_keys", "list_control_keys")
)


def signer(tenant: str = "default", environment: str = "live", key: bytes = SIGNING_KEY) -> Signer:
    return Signer(lambda: key, tenant=tenant, environment=environment)


def cursor_of(own: str, by: Signer, customer_id: str = "cus_a") -> str:
    page = Pages(by, KEYS, {"customer_id": customer_id}, Paging(limit=2)).sealed(
        KeyPage(data=[], pagination=Pagination.of(own))
    )
    assert isinstance(page, KeyPage)
    assert page.pagination.next_cursor is not None
    return page.pagination.next_cursor


@settings(max_examples=30, deadline=None)
@given(own=st.text(min_size=1, max_size=40))
def test_a_cursor_comes_back_as_it_was(own: str) -> None:
    query = Pages(signer(), KEYS, {"customer_id": "cus_a"}, Paging(limit=7, cursor=cursor_of(own, signer()))).opened()
    assert query == Paging(limit=7, cursor=own)


@settings(max_examples=30, deadline=None)
@given(
    tenant=st.sampled_from(["default", "acme"]), environment=st.sampled_from(["live", "test"]), list_=st.booleans()
)
def test_a_cursor_of_another_place_is_none(tenant: str, environment: str, list_: bool) -> None:
    here = (tenant, environment, list_) == ("default", "live", True)
    cursor = Paging(cursor=cursor_of("key_1", signer()))
    pages = Pages(signer(tenant, environment), KEYS if list_ else CONTROL_KEYS, {"customer_id": "cus_a"}, cursor)
    if here:
        assert pages.opened() == Paging(cursor="key_1")
        return
    with pytest.raises(InvalidInput):
        pages.opened()


def test_a_cursor_of_another_customer_or_key_is_none() -> None:
    for cursor in (cursor_of("key_1", signer(), "cus_b"), cursor_of("key_1", signer(key=b"other" * 8))):
        with pytest.raises(InvalidInput):
            Pages(signer(), KEYS, {"customer_id": "cus_a"}, Paging(cursor=cursor)).opened()


def test_a_cursor_that_was_changed_is_none() -> None:
    claims = base64.urlsafe_b64encode(b"\x92\xa5key_9\xc4\x01x").decode()
    seal = cursor_of("key_1", signer()).rpartition(".")[2]
    for cursor in ("key_1", "é", f"{PURPOSE}.{claims}.{seal}", cursor_of("key_1", signer()) + "A"):
        with pytest.raises(InvalidInput):
            Pages(signer(), KEYS, {"customer_id": "cus_a"}, Paging(cursor=cursor)).opened()


async def test_a_cursor_is_good_for_its_filter(control: Control) -> None:
    for name in ("alice", "bob", "carol"):
        await control.customer(name)
    page = (await control.ask("GET", "/v1/admin/audit?limit=1&operation=create_customer")).json
    cursor = page["pagination"]["next_cursor"]
    wrong = f"/v1/admin/audit?limit=1&operation=create_key&cursor={cursor}"
    assert_problem(await control.ask("GET", wrong), 400, "invalid_input")
    right = f"/v1/admin/audit?limit=2&operation=create_customer&cursor={cursor}"
    assert len((await control.ask("GET", right)).json["data"]) == 2


async def test_a_cursor_goes_on_by_either_id(control: Control) -> None:
    by_id, by_external_id = f"/v1/customers/{await control.customer()}/keys", "/v1/customer-by-external-id/alice/keys"
    for _ in range(2):
        await control.ask("POST", by_id)
    page = (await control.ask("GET", f"{by_id}?limit=1")).json
    rest = await control.ask("GET", f"{by_external_id}?cursor={page['pagination']['next_cursor']}")
    assert len(rest.json["data"]) == 1
