"""Cursors survive the journey; anything else is refused by name."""

import base64

import pytest

from sidecar.archive.paging import checked_limit, cursor_of, mark_of
from sidecar.domain.errors import InvalidInput


def test_a_cursor_brings_its_mark_back() -> None:
    mark = (1_700_000_000_000, "ent_ü/+=")
    cursor = cursor_of(mark)
    assert mark_of(cursor, (int, str)) == mark
    assert cursor.isascii()
    assert not set(cursor) & set("+/=&? ")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "ü",
        "A",
        cursor_of(("a", "b")),
        cursor_of((1,)),
        cursor_of((1, "b", "c")),
        cursor_of((2**63, "b")),
        cursor_of((1, "a\0b")),
        base64.urlsafe_b64encode(b'{"a": 1}').decode(),
        base64.urlsafe_b64encode(b"[true, null]").decode(),
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
    ],
)
def test_a_cursor_of_nothing_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidInput, match="next_cursor") as caught:
        mark_of(cursor, (int, str))
    assert caught.value.field == "cursor"


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(InvalidInput, match="between 1 and 1000"):
        checked_limit(limit)


def test_a_limit_in_range_is_taken() -> None:
    assert [checked_limit(1), checked_limit(1000)] == [1, 1000]
