"""What the injector has done, for its metrics."""

from collections import Counter

from sidecar.injector.decide import Decision, Outcome
from sidecar.telemetry import Histogram

FAILED = "failed"
"""The outcome of a review that was not answered: it could not be read, or has met a defect of ours."""


class Counts:
    """By outcome, and by the word of each reason."""

    def __init__(self) -> None:
        self.reviews: Counter[str] = Counter({outcome.value: 0 for outcome in Outcome} | {FAILED: 0})
        self.reasons: Counter[str] = Counter()
        self.seconds = Histogram()

    def decided(self, decision: Decision) -> None:
        self.reviews[decision.outcome.value] += 1
        # Several ports may each have the same reason: what is counted are reviews.
        self.reasons.update({reason.word for reason in decision.reasons})
