"""Counters as the scripts want them, answer them and write them; `lua/shared/counters.lua` describes them. No I/O."""

import struct
from collections.abc import Iterable
from typing import Any

from sidecar.domain.counters import Advance, Counted, Counter, Stand
from sidecar.domain.errors import StoreCorrupt
from sidecar.store.commands import bulk

LIST = "counters"
"""The payer's field that lists them."""
FIELD = "counter:"
"""What the fields of each begin with."""
_TELL = frozenset({
    b"moved", b"reserved", b"replayed", b"rate_limited", b"concurrency_limited", b"pool_cap_reached",
    b"spend_cap_reached", b"holds_in_flight", b"insufficient_credits", b"committed", b"late",
})  # fmt: skip
"""The outcomes after which a script says where the counters stand."""
_STAND = struct.Struct(">dd")


def arguments_of(advance: Advance) -> list[bytes]:
    """The arguments of one counter, packed."""
    counter = advance.counter
    numbers = (advance.units, advance.low, advance.high, counter.forget_at_ms)
    return [bulk(counter.key.encode()), *(bulk(b"%d" % number) for number in numbers)]


def without_stands(reply: list[Any], count: int) -> tuple[list[Any], tuple[Stand, ...]]:
    """A reply, and where so many counters stand, which it ends with; nothing for a reply that does not say it."""
    if reply[0] not in _TELL:
        return reply, ()
    numbers = reply[-2 * count :]
    stands = (Stand(used, held) for used, held in zip(numbers[::2], numbers[1::2], strict=True))
    return reply[: -2 * count], tuple(stands)


def stand_of(packed: bytes) -> Stand:
    """A counter's field of the payer. Raises StoreCorrupt for what is none of ours."""
    try:
        used, held = _STAND.unpack(packed)
        return Stand(int(used), int(held))
    except (struct.error, ValueError, OverflowError) as error:
        raise StoreCorrupt(f"A customer has the counter {packed!r}.") from error


def field_of(key: str, stand: Stand) -> tuple[str, bytes]:
    """The name and the value of a counter's field."""
    return f"{FIELD}{key}", _STAND.pack(stand.used, stand.held)


def list_of(counters: Iterable[Counter]) -> str:
    """What lists these counters; `listed` reads it."""
    return " ".join(f"{counter.key}={counter.forget_at_ms}" for counter in counters)


def listed(text: bytes) -> dict[str, int]:
    """The keys of a payer's counters, and when each is forgotten, in ms. ValueError for what is none of ours."""
    pairs = (each.split("=") for each in text.decode().split())
    return {key: int(forget_at_ms) for key, forget_at_ms in pairs}


def counted_of(text: bytes) -> tuple[Counted, ...]:
    """What a journal line says of counters: ``ocr/pages@2026-11+12=3456``, with commas between."""
    if not text:
        return ()
    parts = (each.partition("+") for each in text.decode().split(","))
    numbers = ((key, each.split("=")) for key, _, each in parts)
    return tuple(Counted(key, int(units), int(position)) for key, (units, position) in numbers)
