"""Whether the model lets amounts be held: members' shares, spend caps, what blocks have, what may be owed."""

from collections.abc import Sequence

from sidecar.domain.book_account import BookAccounts
from sidecar.domain.book_caps import BookCaps
from sidecar.domain.book_holds import BookHold
from sidecar.domain.book_members import BookMembers
from sidecar.domain.book_overage import BookOverage
from sidecar.domain.burn_order import drawable
from sidecar.domain.outcomes import RefusalCode, Refused


class MayHold:
    """Of one payer. It changes nothing but what is due."""

    def __init__(self, accounts: BookAccounts, members: BookMembers, caps: BookCaps, overage: BookOverage) -> None:
        self._accounts = accounts
        self._members = members
        self._caps = caps
        self._overage = overage

    def refusal(
        self, hold: BookHold, wanted: Sequence[tuple[int, int]], now_ms: int, *, grows: bool
    ) -> Refused | None:
        """Why not all of `wanted`, (part, amount), can be held; `grows`: it is held already, with less."""
        asked = hold.reservation
        for index, amount in wanted:
            unit = asked.parts[index].unit
            refused = self._members.above_cap(asked.customer_id, unit, amount)
            if refused is None:
                refused = self._caps.beyond(hold, index, amount, now_ms, grows=grows)
            if refused is not None:
                return refused
        for index, amount in wanted:
            unit = asked.parts[index].unit
            account = self._accounts.at(unit, now_ms)
            blocks = drawable(account.live.values(), asked.feature, asked.rule)
            available, held = sum(block.available for block in blocks), sum(block.held for block in blocks)
            owed, overage = account.owed, self._overage
            if (owed == 0 and available >= amount) or overage.fits(unit, owed, max(amount - available, 0)):
                continue
            fits_later = available + held + overage.most(unit) - owed >= amount
            code = RefusalCode.HOLDS_IN_FLIGHT if fits_later else RefusalCode.INSUFFICIENT_CREDITS
            return Refused(code, amount, available + overage.left(unit, owed), held + overage.held[unit], unit)
        return None
