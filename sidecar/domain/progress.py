"""What an answer has cost until now, for who wants to know before it has ended.

It is worked out when it is asked for. What has been reported counts as it is, text beyond it as the rule estimates.
"""

from typing import TYPE_CHECKING

import msgspec

from sidecar.domain.meters.reader import Reading

if TYPE_CHECKING:
    from sidecar.domain.metering import Bill, Charge


class Progress(msgspec.Struct, frozen=True):
    """`read` is all usage that was reported or measured, `written` are the tokens of text that came beyond it.

    `final`: the answer has told all of its usage, and nothing that follows changes it.
    """

    bill: "Bill"
    read: Reading
    written: int = 0
    final: bool = False

    @property
    def usage(self) -> Reading:
        """What it has used."""
        return self.bill.with_estimates(self.read | self.bill.given, self.written, self.bill.request_bytes)

    @property
    def cost(self) -> int:
        """What that costs, in base units."""
        return self.bill.cost(self.usage)

    def at_most(self, ahead_bytes: int) -> int:
        """What it will cost at most when so many further bytes have come, unless they report usage."""
        bill = self.bill
        read = dict(self.read)
        for meter in bill.tariff.meters.response_bytes:
            read[meter] = read.get(meter, 0) + ahead_bytes
        estimate = bill.tariff.estimate
        written = self.written + (estimate.tokens_at_most(ahead_bytes) if estimate is not None else 0)
        usage = bill.with_estimates(read | bill.given, written, bill.request_bytes)
        return bill.price.charge_up_to(usage, bill.tariff.max_charge)

    def charge(self, most: int) -> "Charge":
        """The charge for an answer that is ended here by us, `most` at most."""
        return self.bill.ended(self.usage, self.read | self.bill.given, most)
