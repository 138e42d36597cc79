"""What is counted: the hot path adds to plain integers and dictionaries, and `exposition` turns them into metrics.

State that other parts hold is read when somebody looks, through functions that wiring registers. What was read is a
list of families, which can go to another process, and be folded with those of others, before it is shown.
"""

import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec

from sidecar.domain.denials import Denial

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
"""From the proxy's own share of a request to the longest stream."""


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Fold(StrEnum):
    """What the values of several workers are together."""

    SUM = "sum"
    LEAST = "least"
    MOST = "most"


class Family(msgspec.Struct, frozen=True, kw_only=True):
    """One metric as it was read. A histogram's samples are its counts, labelled by their place, not cumulative."""

    name: str
    """Of a counter without ``_total``."""
    text: str
    kind: Kind
    labels: tuple[str, ...] = ()
    samples: dict[tuple[str, ...], float] = {}
    total_s: float = 0.0
    """Of a histogram."""
    fold: Fold = Fold.SUM


def folded(pages: Iterable[Sequence[Family]]) -> list[Family]:
    """The families of several workers as those of one."""
    by_name: dict[str, list[Family]] = {}
    for page in pages:
        for family in page:
            by_name.setdefault(family.name, []).append(family)
    return [_fold(families) for families in by_name.values()]


def _fold(families: list[Family]) -> Family:
    first = families[0]
    samples: dict[tuple[str, ...], float] = {}
    for family in families:
        for labels, value in family.samples.items():
            if labels not in samples:
                samples[labels] = value
            elif first.fold is Fold.SUM:
                samples[labels] += value
            else:
                samples[labels] = (min if first.fold is Fold.LEAST else max)(samples[labels], value)
    return msgspec.structs.replace(first, samples=samples, total_s=sum(family.total_s for family in families))


class Histogram:
    """Durations in buckets; adding one costs a bisection."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect.bisect_left(BUCKETS_S, seconds)] += 1
        self.total_s += seconds

    def read(self, name: str, text: str) -> Family:
        samples: dict[tuple[str, ...], float] = {(str(place),): count for place, count in enumerate(self.counts)}
        return Family(
            name=name, text=text, kind=Kind.HISTOGRAM, labels=("place",), samples=samples, total_s=self.total_s
        )


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
        self._readers: list[Callable[[], Family]] = []
        self._count_own()

    def take_denials(self) -> Counter[Denial]:
        """What was counted since this was called last."""
        taken, self.denials = self.denials, Counter()
        return taken

    def families(self) -> list[Family]:
        """Everything, read now."""
        return [read() for read in self._readers]

    def gauge(self, name: str, text: str, read: Callable[[], float], fold: Fold = Fold.SUM) -> None:
        """A value that another part holds, read at each scrape; `fold` says what several workers' are together."""
        self._readers.append(
            lambda: Family(name=name, text=text, kind=Kind.GAUGE, samples={(): float(read())}, fold=fold)
        )

    def total(self, name: str, text: str, read: Callable[[], float]) -> None:
        """The same for a value that only grows; `name` is without ``_total``."""
        self._readers.append(lambda: Family(name=name, text=text, kind=Kind.COUNTER, samples={(): float(read())}))

    def gauge_by(
        self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]], fold: Fold = Fold.SUM
    ) -> None:
        """A value for each of a closed set of `label`'s values."""
        self._readers.append(lambda: _labelled(name, text, Kind.GAUGE, label, read(), fold))

    def total_by(self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """The same for values that only grow."""
        self._readers.append(lambda: _labelled(name, text, Kind.COUNTER, label, read()))

    def histogram(self, name: str, text: str, histogram: Histogram) -> None:
        """Durations that another part collects."""
        self._readers.append(lambda: histogram.read(name, text))

    def typical_request_s(self) -> int:
        """The mean duration of requests in whole seconds, 1 to 30: when a hold in flight may be expected back."""
        count = sum(self.request_seconds.counts)
        mean_s = self.request_seconds.total_s / count if count else 1.0
        return max(1, min(30, round(mean_s)))

    def _count_own(self) -> None:
        self._total_by_rule("sidecar_requests", "Requests by rule and by how they ended.", "outcome", self.requests)
        would = "Requests served in shadow that would have been refused, by rule and code."
        self._total_by_rule("sidecar_shadow_refusals", would, "code", self.shadow_refusals)
        for name, text, label, counter in (
            ("sidecar_refusals", "Requests that were refused, by code.", "code", self.refusals),
            ("sidecar_streams_cut", "Answers ended because credit had.", "rule", self.cut),
            ("sidecar_clamped", "Requests lowered to what the balance buys.", "rule", self.clamped),
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
            ("sidecar_shadow_uncharged_base_units", "What such requests would have cost.", "unit", self.uncharged),
            ("sidecar_owed_base_units", "Charged amounts that became debt.", "unit", self.owed),
        ):
            self.total_by(name, text, label, counter.copy)
        self.histogram(
            "sidecar_request_duration_seconds", "A request, from its head to its settlement.", self.request_seconds
        )

    def _total_by_rule(self, name: str, text: str, label: str, counter: Counter[tuple[str, str]]) -> None:
        def read() -> Family:
            samples: dict[tuple[str, ...], float] = {
                (rule, value): count for (rule, value), count in list(counter.items())
            }
            return Family(name=name, text=text, kind=Kind.COUNTER, labels=("rule", label), samples=samples)

        self._readers.append(read)


def _labelled(
    name: str, text: str, kind: Kind, label: str, values: Mapping[str, float], fold: Fold = Fold.SUM
) -> Family:
    samples: dict[tuple[str, ...], float] = {(value,): count for value, count in list(values.items())}
    return Family(name=name, text=text, kind=kind, labels=(label,), samples=samples, fold=fold)
