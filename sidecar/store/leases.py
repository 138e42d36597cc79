"""Leases in the store: a name belongs to one token at a time, for a while."""

from sidecar.store.commands import GIVE_BACK_LEASE, TAKE_LEASE
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane


class Leases:
    """Of one tenant's environment. Everything may raise StoreError."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def take(self, name: str, token: str, ttl_ms: int) -> bool:
        """Whether `name` is the token's for `ttl_ms` from now: it was free, or the token's already."""
        taken: int = await self._lane.send(TAKE_LEASE.pack([self._keys.lease(name)], [token, ttl_ms]))
        return taken == 1

    async def give_back(self, name: str, token: str) -> None:
        """Free `name` if it is the token's."""
        await self._lane.send(GIVE_BACK_LEASE.pack([self._keys.lease(name)], [token]))
