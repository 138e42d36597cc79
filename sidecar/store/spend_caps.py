"""Spend caps in the store: lines of words in the payer's hash, where the scripts of holds find them."""

from sidecar.domain.errors import Conflict, NotFound, StoreCorrupt
from sidecar.domain.spend_caps import NOTHING, CapStand, SpendCap, caps_of, clock_of
from sidecar.store.commands import SET_SPEND_CAPS, SPEND_CAPS
from sidecar.store.keys import Keys, checked_unit
from sidecar.store.lane import Lane

CAPS_MAX = 16
"""Most that a customer may have in one unit: a reserve looks at all of them."""


class SpendCaps:
    """Of one tenant's environment. Everything may raise StoreError."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def add(self, payer_id: str, customer_id: str, cap: SpendCap) -> None:
        """Let a customer have one more, from now on: what was reserved before does not count.

        Raises NotFound (no such customer, or `payer_id` does not pay for it) and Conflict (it has `CAPS_MAX`).
        """
        await self._set(payer_id, customer_id, cap.unit, "add", cap_line(cap, cap.created_at_ms))

    async def remove(self, payer_id: str, customer_id: str, unit: str, cap_id: str) -> None:
        """Raises NotFound."""
        await self._set(payer_id, customer_id, unit, "remove", cap_id)

    async def put(self, payer_id: str, customer_id: str, unit: str, lines: str) -> None:
        """All caps of a customer at once, who need not be there yet."""
        await self._set(payer_id, customer_id, unit, "put", lines)

    async def of(self, payer_id: str, customer_id: str, unit: str) -> list[CapStand]:
        """The caps of a customer in a unit, in the order in which they were made, and how they stand."""
        packed = SPEND_CAPS.pack(self._keys.of(payer_id).ledger, [customer_id, checked_unit(unit)])
        text, *numbers = await self._lane.send(packed)
        caps = caps_of(text.decode(), unit)
        if len(numbers) != 3 * len(caps):
            raise StoreCorrupt(f"The script spend_caps answered {numbers!r} for {len(caps)} caps of {customer_id}.")
        stands = zip(caps, numbers[::3], numbers[1::3], numbers[2::3], strict=True)
        return [CapStand(cap, spent, held, reset_at_ms) for cap, spent, held, reset_at_ms in stands]

    async def _set(self, payer_id: str, customer_id: str, unit: str, what: str, value: str) -> None:
        account = self._keys.account(payer_id, unit)
        packed = SET_SPEND_CAPS.pack(
            [*self._keys.of(payer_id).ledger, account.account, self._keys.of(customer_id).customer],
            [account.name, customer_id, what, value, CAPS_MAX],
        )
        match (await self._lane.send(packed))[0]:
            case b"set":
                return
            case b"unknown":
                raise NotFound(f"There is no customer {customer_id} whom {payer_id} pays for.")
            case b"missing":
                raise NotFound(f"{customer_id} has no spend cap {value} in {unit}.")
            case b"too_many":
                raise Conflict(f"{customer_id} has {CAPS_MAX} spend caps in {unit}, as many as one may have.")
            case word:
                raise StoreCorrupt(f"The script set_spend_caps answered {word!r}.")


def cap_line(cap: SpendCap, now_ms: int) -> str:
    """A cap as the scripts have it; the clock of its time zone is known for ten years from `now_ms`."""
    window = cap.window.value if cap.window is not None else str(cap.rolling_ms)
    clock = "0" if cap.window is None else clock_of(cap.tz, now_ms)
    return " ".join((
        cap.cap_id, str(cap.amount), "block" if cap.blocks else "notify", cap.scope.value, cap.of or NOTHING, window,
        clock, cap.tz, ",".join(map(str, cap.warn_at)) or NOTHING, str(cap.created_at_ms),
    ))  # fmt: skip
