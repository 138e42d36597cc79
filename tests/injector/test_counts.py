"""What is counted: reviews by outcome, and by each word that was said about them."""

from sidecar.injector.counts import Counts
from sidecar.injector.decide import decide
from tests.injector.golden import given


def test_a_review_counts_once_for_each_word() -> None:
    counts = Counts()
    for name in ("deployment", "port_in_use", "opted_out", "opted_out"):
        counts.decided(decide(given(name).pod, given(name).settings))
    assert counts.reviews == {"injected": 1, "denied": 1, "skipped": 2, "failed": 0}
    assert counts.reasons == {"port_in_use": 1, "opted_out": 2}
