"""What the ledger refuses, as an error for who calls the API: the same code and numbers as the proxy answers."""

from sidecar.domain.errors import Denied, NotFound, SidecarError
from sidecar.domain.outcomes import RefusalCode, Refused
from sidecar.domain.spend_caps import told_of

_HELD_S = 1
"""What is held comes back when its holders are done, and nobody knows when: then this is soon enough."""

_SUSPENDED = "The customer, or who pays for it, is suspended: nothing more is held or charged for it."


def denied(refused: Refused, customer_id: str) -> SidecarError:
    """The error for a refusal; of a customer that is not there, NotFound."""
    if refused.code is RefusalCode.UNIDENTIFIED:
        return NotFound(f"There is no customer {customer_id}.")
    if refused.code is RefusalCode.CUSTOMER_SUSPENDED:
        return Denied(refused.code.value, _SUSPENDED, {})
    if refused.capped is not None:
        limit = f"The spend cap {refused.capped.cap_id} does not let {refused.required} base units more be spent now."
        told = {"unit": refused.unit, "required": refused.required, "available": refused.available}
        wait_ms = refused.capped.wait_ms
        after_s = None if wait_ms is None else -(-wait_ms // 1000) or _HELD_S
        return Denied(refused.code.value, limit, told_of(refused.capped) | told, retry_after_s=after_s)
    held = f"; {refused.held} more are held by what is in flight" if refused.held else ""
    detail = f"This needs {refused.required} base units of {refused.unit}; {refused.available} are available{held}."
    members = {
        "unit": refused.unit,
        "required": refused.required,
        "available": refused.available,
        "held": refused.held,
    }
    after_s = _HELD_S if refused.code is RefusalCode.HOLDS_IN_FLIGHT else None
    return Denied(refused.code.value, detail, members, retry_after_s=after_s)
