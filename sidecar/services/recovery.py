"""Charging for holds that the store has lost with its last writes, as at a failover.

Only who took the hold can say that it was taken: the process itself, or its heir by a signed token. The charge takes
effect once, since its end is remembered, and the ledger has a word for it. A charge of which an attempt may have
taken effect is not recovered: nobody shall be charged twice.
"""

import logging
from typing import Final

import msgspec

from sidecar.domain.errors import StoreError
from sidecar.domain.tokens import HOLD, HoldClaims, Signer
from sidecar.services.charges import Charge
from sidecar.store.hold_record import HoldRecord, not_held

log = logging.getLogger("sidecar.holds")

WORD: Final = "recovered=hold"
"""What the ledger says of such a charge, behind the usage."""
CHARGED_LATE_S: Final = 900.0
"""So long after a hold's deadline the store still knows it, and charges it."""


def without_hold(charge: Charge) -> Charge:
    """The same charge, from what is available. What it would have counted over periods is not counted."""
    return msgspec.structs.replace(
        charge,
        hold=not_held(charge.hold),
        usage=f"{charge.usage} {WORD}".lstrip(),
        advances=(),
        bridged=True,
    )


def token_of(signer: Signer, hold: HoldRecord, deadline_ms: int) -> str:
    """The token that says that it was taken; nothing while we have no key."""
    claims = HoldClaims(
        reservation_id=hold.reservation_id,
        customer_id=hold.customer_id,
        parts=hold.parts,
        rule=hold.rule,
        deadline_ms=deadline_ms,
    )
    try:
        return signer.sign(HOLD, claims)
    except StoreError:
        return ""


def is_proved(signer: Signer, charge: Charge, now_ms: int) -> bool:
    """Whether its token says that its hold was taken, and it is not too late to charge it.

    Raises StoreError while we have no key.
    """
    claims, hold = signer.read(HOLD, charge.token, HoldClaims), charge.hold
    if claims is None or now_ms > claims.deadline_ms + CHARGED_LATE_S * 1000:
        return False
    told = (claims.reservation_id, claims.customer_id, claims.parts, claims.rule)
    return told == (hold.reservation_id, hold.customer_id, hold.parts, hold.rule)


def log_recovered(charge: Charge) -> None:
    """Say that it has been charged."""
    hold = charge.hold
    log.warning(
        "hold %s of %s (%s) was lost by the store; its charge of %d base units of %s was taken all the same",
        *(hold.reservation_id, hold.customer_id, hold.rule, charge.charge, hold.unit),
    )
