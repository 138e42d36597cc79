"""Ids of top-ups say whose block they made."""

import pytest

from sidecar.domain.errors import NotFound
from sidecar.domain.ids import new_id
from sidecar.domain.topups import Bought, bought, topup_id


def test_an_id_there_and_back() -> None:
    customer_id, block_id = (new_id(prefix, 1_800_000_000_000, bytes(10)) for prefix in ("cus", "blk"))
    assert bought(topup_id(customer_id, block_id)) == Bought(customer_id, block_id)


@pytest.mark.parametrize("text", ["", "top_", "blk_" + "0" * 52, "top_" + "u" * 52, "top_" + "0" * 51])
def test_what_is_none_is_nowhere(text: str) -> None:
    with pytest.raises(NotFound):
        bought(text)
