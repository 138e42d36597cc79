"""The benchmark of the injector counts what it says it does."""

import json

import msgspec
import pytest

from benchmarks.injector import RATE_PER_S, Result, quietest, review
from sidecar.config.settings import Injector
from sidecar.injector.answer import answer
from sidecar.injector.decide import Outcome
from sidecar.injector.review import decode


def result(**changes: object) -> Result:
    fields = {"name": "x", "per_s": float(RATE_PER_S), "failed": 0, "times_ms": [1.0] * 1000}
    more = {"cpu_percent": 10.0, "others_percent": 1.0}
    return msgspec.convert(fields | more | changes, Result)


def test_the_pod_is_one_that_is_injected() -> None:
    response, decision = answer(decode(review()), Injector(image="s:1"))
    assert decision.outcome is Outcome.INJECT
    assert response.patch is not None
    assert len(json.loads(response.patch)) > 5
    assert 5_000 < len(review()) < 20_000


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({}, True),
        ({"failed": 1}, False),
        ({"per_s": 100.0}, False),
        ({"times_ms": [1.0] * 980 + [25.0] * 20}, False),
        ({"times_ms": [1.0] * 995 + [25.0] * 5}, True),
    ],
)
def test_the_bars(changes: dict[str, object], met: bool) -> None:
    assert result(**changes).met is met


def test_the_quietest_window_counts() -> None:
    loud, quiet = result(others_percent=90.0), result(others_percent=3.0, failed=1)
    assert quietest([loud, quiet, loud]) is quiet
