import pytest

from sidecar.control.whose import Whose, customer_of
from sidecar.domain.errors import InvalidInput, NotFound
from tests.support.control import Control


async def test_a_body_names_its_customer_by_one_of_both_ids(control: Control) -> None:
    customer_id = await control.customer("alice")
    for whose in (Whose(customer_id=customer_id), Whose(external_customer_id="alice")):
        assert (await customer_of(control.parts, whose)).customer_id == customer_id
    for whose in (Whose(), Whose(customer_id=customer_id, external_customer_id="alice")):
        with pytest.raises(InvalidInput, match="one of both"):
            await customer_of(control.parts, whose)
    with pytest.raises(NotFound):
        await customer_of(control.parts, Whose(external_customer_id=customer_id))
