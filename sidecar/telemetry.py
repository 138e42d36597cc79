"""Every metric of the product, defined once: unit in the name, labels only from closed sets.

The hot path adds to plain integers and dictionaries; `Metrics` is a Prometheus collector that turns them into samples
when somebody scrapes. State that other parts hold is read then too, through functions that wiring registers.
"""

import bisect
from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

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


class Metrics(Collector):
    """The counters. `requests` is by (rule, outcome), where outcome is how the proxy ended a request."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str]] = Counter()
        self.refusals: Counter[str] = Counter()
        self.upstream_failures: Counter[str] = Counter()
        self.charges: Counter[str] = Counter()
        self.held: Counter[str] = Counter()
        self.charged: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        self.owed: Counter[str] = Counter()
        self.request_seconds = Histogram()
        self.reserve_seconds = Histogram()
        self.settle_seconds = Histogram()
        self._gauges: list[tuple[str, str, Callable[[], float]]] = []
        self._totals: list[tuple[str, str, Callable[[], float]]] = []

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value that another part holds, read at each scrape."""
        self._gauges.append((name, text, read))

    def total(self, name: str, text: str, read: Callable[[], float]) -> None:
        """The same for a value that only grows; `name` is without ``_total``."""
        self._totals.append((name, text, read))

    def typical_request_s(self) -> int:
        """The mean duration of requests in whole seconds, 1 to 30: when a hold in flight may be expected back."""
        count = sum(self.request_seconds.counts)
        mean_s = self.request_seconds.total_s / count if count else 1.0
        return max(1, min(30, round(mean_s)))

    def collect(self) -> Iterator[Metric]:
        yield self._requests()
        yield from self._by_label()
        for name, text, histogram in (
            ("request", "A request, from its head to its settlement.", self.request_seconds),
            ("reserve", "Taking a hold in the store.", self.reserve_seconds),
            ("settle", "Settling a hold in the store.", self.settle_seconds),
        ):
            family = HistogramMetricFamily(f"sidecar_{name}_duration_seconds", text)
            family.add_metric([], histogram.buckets(), histogram.total_s)
            yield family
        for name, text, read in self._gauges:
            yield GaugeMetricFamily(name, text, value=read())
        for name, text, read in self._totals:
            yield CounterMetricFamily(name, text, value=read())

    def _requests(self) -> Metric:
        family = CounterMetricFamily(
            "sidecar_requests", "Requests by rule and by how they ended.", labels=["rule", "outcome"]
        )
        for (rule, outcome), count in list(self.requests.items()):
            family.add_metric([rule, outcome], count)
        return family

    def _by_label(self) -> Iterator[Metric]:
        for name, text, label, counter in (
            ("sidecar_refusals", "Requests that were refused, by code.", "code", self.refusals),
            (
                "sidecar_upstream_failures",
                "Requests that the upstream failed, by phase.",
                "phase",
                self.upstream_failures,
            ),
            ("sidecar_charges", "Settled requests, by where their charge comes from.", "source", self.charges),
            ("sidecar_held_base_units", "Amounts held.", "unit", self.held),
            ("sidecar_charged_base_units", "Amounts charged.", "unit", self.charged),
            ("sidecar_returned_base_units", "Amounts of holds that went back.", "unit", self.returned),
            ("sidecar_owed_base_units", "Charged amounts that became debt.", "unit", self.owed),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for value, count in list(counter.items()):
                family.add_metric([value], count)
            yield family
