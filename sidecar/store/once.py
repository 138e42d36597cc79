"""Idempotency records of control writes whose effect is not one ledger script."""

from sidecar.domain.errors import IdempotencyMismatch, StillAtWork, StoreCorrupt
from sidecar.domain.once import Once
from sidecar.store.commands import BEGIN_ONCE
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane

CLAIM_MS = 30_000
"""How long a claim lasts when the work neither finishes nor is abandoned: the process died."""
KEPT_MS = 86_400_000


class OnceRecords:
    """`begin`, do the work, `finish`; or `abandon` when it failed, so that a repetition may try again at once."""

    def __init__(self, lane: Lane, *, tenant: str, environment: str) -> None:
        self._lane = lane
        self._keys = Keys(tenant, environment)

    async def begin(self, scope: str, once: Once) -> bytes | None:
        """The answer that was given before, or None: the work is ours now.

        Raises IdempotencyMismatch (the key was used for another request), StillAtWork (the first one is).
        """
        key = self._keys.once(scope, once.key)
        reply = await self._lane.send(BEGIN_ONCE.pack([key], [once.fingerprint, CLAIM_MS]))
        match reply[0]:
            case b"begun":
                return None
            case b"done":
                answer: bytes = reply[1]
                return answer
            case b"mismatch":
                raise IdempotencyMismatch
            case b"running":
                raise StillAtWork
        raise StoreCorrupt(f"The script begin_once answered {reply!r}.")

    async def finish(self, scope: str, once: Once, body: bytes) -> None:
        """Keep `body` as the answer of this key for 24 hours."""
        record = once.fingerprint.encode() + b" done " + body
        await self._lane.execute("SET", self._keys.once(scope, once.key), record, "PX", KEPT_MS)

    async def abandon(self, scope: str, once: Once) -> None:
        """The work failed and had no effect: free the key."""
        await self._lane.execute("DEL", self._keys.once(scope, once.key))
