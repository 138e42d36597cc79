"""What is counted: the hot path adds to plain integers and dictionaries, and `exposition` turns them into metrics.

State that other parts hold is read when somebody looks, through functions that wiring registers.
"""

import bisect
from collections import Counter
from collections.abc import Callable, Mapping

from sidecar.domain.denials import Denial

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""From the proxy's own share of a request to the longest stream."""


class Histogram:
    """Durations in buckets; adding one costs a bisection."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them."""
        total = 0
        rows = []
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            total += count
            rows.append((bound, float(total)))
        return rows


class Metrics:
    """The counters. `requests` is by (rule, outcome), where outcome is how the proxy ended a request.

    `shadow_refusals` is by (rule, code). `denials` are counted for reports, which take them away every few seconds.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.denials: Counter[Denial] = Counter()
        self.clamped: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.sessions: Counter[str] = Counter()
        self.shadow_refusals: Counter[tuple[str, str]] = Counter()
        self.uncharged: Counter[str] = Counter()
        self.upstream_failures: Counter[str] = Counter()
        self.charges: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.charged: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self.owed: Counter[str] = Counter()
        self.request_seconds = Histogram()
        self.histograms: list[tuple[str, str, Histogram]] = [
            ("sidecar_request_duration_seconds", "A request, from its head to its settlement.", self.request_seconds)
        ]
        self.gauges: list[tuple[str, str, Callable[[], float]]] = []
        self.totals: list[tuple[str, str, Callable[[], float]]] = []
        self.gauges_by: list[tuple[str, str, str, Callable[[], Mapping[str, float]]]] = []
        self.totals_by: list[tuple[str, str, str, Callable[[], Mapping[str, float]]]] = []

    def take_denials(self) -> Counter[Denial]:
        """What was counted since this was called last."""
        taken, self.denials = self.denials, Counter()
        return taken

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value that another part holds, read at each scrape."""
        self.gauges.append((name, text, read))

    def total(self, name: str, text: str, read: Callable[[], float]) -> None:
        """The same for a value that only grows; `name` is without ``_total``."""
        self.totals.append((name, text, read))

    def gauge_by(self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """A value for each of a closed set of `label`'s values."""
        self.gauges_by.append((name, text, label, read))

    def total_by(self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """The same for values that only grow."""
        self.totals_by.append((name, text, label, read))

    def histogram(self, name: str, text: str, histogram: Histogram) -> None:
        """Durations that another part collects."""
        self.histograms.append((name, text, histogram))

    def typical_request_s(self) -> int:
        """The mean duration of requests in whole seconds, 1 to 30: when a hold in flight may be expected back."""
        count = sum(self.request_seconds.counts)
        mean_s = self.request_seconds.total_s / count if count else 1.0
        return max(1, min(30, round(mean_s)))
