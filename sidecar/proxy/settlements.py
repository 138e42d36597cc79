"""How the hold of a request ends: with the charge that the meter says, or by a release; and what is counted of it."""

from collections.abc import Coroutine
from typing import Any

from sidecar.domain.metering import LEARNT_FROM, Charge
from sidecar.domain.outcomes import Overrun, Settled
from sidecar.http1.errors import Failure
from sidecar.http1.heads import ResponseHead
from sidecar.proxy import exits
from sidecar.proxy.terms import Terms
from sidecar.services.hold import Hold
from sidecar.services.holds import Holds
from sidecar.services.steps import Steps
from sidecar.telemetry import Metrics


class Settlements:
    """Shared by all requests of a process."""

    def __init__(self, holds: Holds, metrics: Metrics) -> None:
        self._holds = holds
        self._metrics = metrics

    async def settle(
        self,
        terms: Terms,
        hold: Hold,
        charge: Charge,
        told: Failure | ResponseHead | None,
        steps: Steps | None = None,
    ) -> Settled | None:
        """Commit or release; None when the store has not acknowledged it yet. `charge` is what `steps` have left."""
        done = await self.ending(terms, hold, charge, told, steps)
        self.note(terms, hold, charge, done, steps.charged if steps is not None else 0)
        return done

    def ending(
        self,
        terms: Terms,
        hold: Hold,
        charge: Charge,
        told: Failure | ResponseHead | None,
        steps: Steps | None = None,
    ) -> Coroutine[Any, Any, Settled | None]:
        """The commit or release that is to be awaited.

        `told` is how it ended, for the ledger; None: by a defect of ours.
        """
        if charge.release:
            return self._holds.release(hold, exits.why_released(told, charge, terms.rule.quoter.tariff.charge_on))
        if terms.limits_read_usage:
            hold.correct_limits(charge.usage)
        usage = exits.usage_of(told, charge)
        # Who was told that credit cuts shall not owe for the last event.
        overrun = Overrun.CAP if terms.cuts else Overrun.OWE
        return self._holds.commit(hold, charge.amount, usage, charge.source, charge.counted, overrun, steps)

    def note(self, terms: Terms, hold: Hold, charge: Charge, done: Settled | None, charged_before: int = 0) -> None:
        """Count what was settled; what was charged by steps before is counted as charged already."""
        metrics, unit = self._metrics, terms.unit.name
        # What counts over a period is known only when it is counted.
        amount = charge.amount if charge.counted is None or done is None else done.charged
        if terms.recent is not None and charge.source in LEARNT_FROM:
            terms.recent.add(amount + charged_before)
        metrics.held[unit] += max(hold.held + charged_before - hold.record.held, 0)
        metrics.charges[charge.source] += 1
        metrics.charged[unit] += amount
        metrics.returned[unit] += max(hold.held - amount, 0)
        if done is not None and done.owed:
            metrics.owed[unit] += done.owed
