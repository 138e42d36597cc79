"""Numbers in the fields of heads and trailers: a decimal, or nothing that can be charged by."""

from collections.abc import Iterable

from sidecar.domain.meters.reader import Reading
from sidecar.domain.price import Number, parse_number


def number_in(value: bytes) -> Number | None:
    """The value of a field as a reading."""
    return parse_number(value.decode("latin-1").strip())


def read_trailers(meters: Iterable[tuple[str, bytes]], trailers: Iterable[tuple[bytes, bytes]]) -> Reading:
    """What trailer fields say to `meters`; one that came twice has two values, which are no number."""
    came: dict[bytes, bytes] = {}
    for name, value in trailers:
        key = name.lower()
        came[key] = came[key] + b", " + value if key in came else value
    read = ((meter, number_in(came.get(name, b""))) for meter, name in meters)
    return {meter: reading for meter, reading in read if reading is not None}
