"""Numbers in fields."""

import pytest

from sidecar.domain.meters.numbers import number_in, read_trailers


@pytest.mark.parametrize(
    ("value", "number"), [(b" 12 ", 12), (b"0", 0), (b"", None), (b"-1", None), (b"1, 2", None), (b"\xff", None)]
)
def test_a_field_is_a_number_or_nothing(value: bytes, number: int | None) -> None:
    assert number_in(value) == number


def test_a_trailer_that_came_twice_has_no_number() -> None:
    meters = (("cost", b"x-cost"), ("steps", b"x-steps"), ("time", b"x-time"))
    assert read_trailers(meters, [(b"X-Cost", b"3"), (b"x-steps", b"1"), (b"X-Steps", b"1")]) == {"cost": 3}
