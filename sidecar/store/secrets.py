"""Secrets that all processes of one tenant's environment share, made by whoever needs one first."""

import secrets

from sidecar.store.keys import Keys
from sidecar.store.lane import Lane


class Secrets:
    """Raises StoreUnavailable and StoreTimeout; to ask again does no harm."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def shared(self, name: str, size: int) -> bytes:
        """The secret of this name, of `size` random bytes, which is made if there is none."""
        key = self._keys.secret(name)
        await self._lane.execute("SET", key, secrets.token_bytes(size), "NX")
        kept: bytes = await self._lane.execute("GET", key)
        return kept
