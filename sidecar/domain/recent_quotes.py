"""Quotes of a rule whose holds follow what its requests have cost: ``hold: {percentile: 95}``."""

from typing import Any

import msgspec

from sidecar.domain.quotes import Quote, Quoter, Unquoted
from sidecar.domain.recent_costs import RecentCosts
from sidecar.domain.request_facts import RequestFacts


class RecentQuoter(Quoter):
    """As any other, until enough is known of what requests cost; `said` is what a `Quoter` is made of."""

    def __init__(self, recent: RecentCosts, **said: Any) -> None:
        super().__init__(**said)
        self.recent: RecentCosts = recent

    def quote(self, facts: RequestFacts) -> Quote | Unquoted:
        quote = super().quote(facts)
        seen = self.recent.value
        if seen is None or isinstance(quote, Unquoted):
            return quote
        # What is due whatever the answer says is held at least.
        certain = (quote.by_answer or quote.price).charge_up_to(quote.given, self.tariff.max_charge)
        return msgspec.structs.replace(quote, hold=max(min(seen, self.tariff.max_charge), certain))
