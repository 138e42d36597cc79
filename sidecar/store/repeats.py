"""Requests that their clients may repeat: whose attempt a key is, and what the attempts before it were charged.

A key's record names the reservation of its last attempt; what became of that is read from its hold, whose end is
remembered. So a charge is known as soon as it is made, and a key is free as soon as its hold is.
"""

import msgspec

from sidecar.domain.errors import Conflict, StoreCorrupt
from sidecar.domain.idempotency import ANSWERS_MAX_BYTES, REPEATS_MAX, Idempotency, Keyed, OnRepeat
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.store.commands import CLAIM_REQUEST, KEEP_ANSWER, UNCLAIM_REQUEST
from sidecar.store.keys import Keys
from sidecar.store.lane import Lane
from sidecar.store.payers import Payers

CLAIM_MS = 15_000
"""Within so long, and its patience, an attempt is reserved after its claim."""

_REFUSED = {
    b"unidentified": RefusalCode.UNIDENTIFIED,
    b"key_expired": RefusalCode.KEY_EXPIRED,
    b"feature_not_allowed": RefusalCode.FEATURE_NOT_ALLOWED,
    b"customer_suspended": RefusalCode.CUSTOMER_SUSPENDED,
    b"mismatch": RefusalCode.IDEMPOTENCY_MISMATCH,
    b"running": RefusalCode.REQUEST_IN_PROGRESS,
}


class Claim(msgspec.Struct, frozen=True):
    """A key that is an attempt's, until its reservation ends. `charged`: by attempts before it; None: nothing was."""

    customer_id: str
    name: str
    reservation_id: str
    charged: int | None = None


class Kept(msgspec.Struct, frozen=True):
    """The answer of a charged attempt, as `Repeats.keep` was given it."""

    answer: bytes


class Repeats:
    """The keys of one tenant's environment. Methods raise as those of the ledger do."""

    def __init__(self, lane: Lane, keys: Keys, payers: Payers) -> None:
        self._lane = lane
        self._keys = keys
        self._payers = payers

    async def claim(
        self,
        customer_id: str,
        credential: str,
        request: Keyed,
        reservation_id: str,
        idempotency: Idempotency,
        wait_ms: int = 0,
    ) -> Claim | Kept | Refused:
        """Make the key this attempt's, which is to be reserved under `reservation_id` at once or after `wait_ms`.

        Refused as unidentified, key_expired, customer_suspended, feature_not_allowed, idempotency_mismatch, or
        request_in_progress; Kept where the rule wants it and there is one.
        """
        for _ in range(2):
            payer_id = self._payers.of(customer_id)
            packed = CLAIM_REQUEST.pack(
                [
                    *self._keys.of(payer_id).ledger,
                    self._keys.of(customer_id).customer,
                    self._keys.request(customer_id, request.name),
                    self._keys.answers(customer_id)[0],
                ],
                [
                    *(request.fingerprint, reservation_id, credential),
                    *("" if payer_id == customer_id else payer_id, payer_id),
                    *(CLAIM_MS + wait_ms, idempotency.keep_ms, REPEATS_MAX),
                    *(int(idempotency.on_repeat is OnRepeat.REPLAY), request.name, request.feature or "-"),
                ],
            )
            reply: list[bytes] = await self._lane.send(packed)
            if reply[0] != b"member":
                return self._claimed(Claim(customer_id, request.name, reservation_id), reply)
            self._payers.learn(customer_id, reply[1])
        raise Conflict(f"Who pays for {customer_id} changes while it asks.")

    async def unclaim(self, claim: Claim) -> None:
        """Free the key of an attempt that was refused. Without it the key is free when the claim has ended."""
        await self._lane.send(
            UNCLAIM_REQUEST.pack([self._keys.request(claim.customer_id, claim.name)], [claim.reservation_id])
        )

    async def keep(self, claim: Claim, answer: bytes, keep_ms: int) -> None:
        """Keep the attempt's answer for `keep_ms`. It is given to nobody before the attempt is charged."""
        text = b"%b %b" % (claim.reservation_id.encode(), answer)
        keys = self._keys.answers(claim.customer_id)
        await self._lane.send(KEEP_ANSWER.pack(keys, [claim.name, text, keep_ms, ANSWERS_MAX_BYTES]))

    @staticmethod
    def _claimed(claim: Claim, reply: list[bytes]) -> Claim | Kept | Refused:
        match reply[0]:
            case b"claimed":
                return claim
            case b"replayed":
                return Kept(reply[1])
            case b"repeated":
                return msgspec.structs.replace(claim, charged=int(reply[1]))
            case word if word in _REFUSED:
                return Refused(_REFUSED[word])
        raise StoreCorrupt(f"The script claim_request answered {reply!r}.")
