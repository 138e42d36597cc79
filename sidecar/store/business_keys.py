"""Business keys are good for one grant in the whole environment, for ever: a payment pays for one customer.

The grant itself checks and keeps the keys of its customer, in its own partition. So that two customers cannot use
the same key, its owner is written down first, in the key's own partition. An owner that turns out not to have used
the key (its grant was refused, or its process died in between) does not keep it.
"""

from collections.abc import Sequence

from sidecar.domain.errors import Conflict
from sidecar.store.commands import CLAIM, UNCLAIM
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

UNUSED_MS = 60_000
"""Older than any grant that is still under way."""


class BusinessKeys:
    """The business keys of one tenant's environment, such as ``payment:pi_123``."""

    def __init__(self, lane: Lane, keys: Keys) -> None:
        self._lane = lane
        self._keys = keys

    async def claim(self, customer_id: str, names: Sequence[str]) -> None:
        """Make the customer the owner of all `names`.

        Conflict when another one has used one of them, or is about to; then nothing has changed.
        """
        for index, name in enumerate(names):
            try:
                await self._claim(customer_id, name)
            except Conflict:
                await self.unclaim(customer_id, names[:index])
                raise

    async def unclaim(self, customer_id: str, names: Sequence[str]) -> None:
        """The customer did not use them; those that it used before stay its own."""
        for name in names:
            if not await self._used(customer_id, name):
                await self._lane.send(UNCLAIM.pack([self._keys.business(name)], [customer_id]))

    async def _claim(self, customer_id: str, name: str, unused_owner: str = "") -> None:
        match await self._lane.send(CLAIM.pack([self._keys.business(name)], [customer_id, unused_owner])):
            case [b"taken", owner, age_ms]:
                other = owner.decode()
                if await self._used(other, name) or age_ms < UNUSED_MS or unused_owner:
                    raise Conflict(
                        f"The key {name.partition(':')[2]!r} was used for another customer; it is good for one "
                        "grant, for ever."
                    )
                await self._claim(customer_id, name, other)

    async def _used(self, customer_id: str, name: str) -> bool:
        used: int = await self._lane.execute("HEXISTS", self._keys.of(customer_id).business, name)
        return used == 1
