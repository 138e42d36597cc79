"""The bound on exchanges without clients; what becomes of each is in tests/proxy/test_client_gone.py."""

from typing import cast

from sidecar.http1.drains import Drains
from sidecar.http1.engine import Limits
from sidecar.http1.exchange import Exchange


def test_there_are_at_most_so_many() -> None:
    drains = Drains(Limits(drains_max=2, drain_s=5, drain_max_bytes=7))
    one, two, three = (cast(Exchange, object()) for _ in range(3))
    first = drains.begin(one, 100.0)
    assert first is not None
    assert (first.until_s, first.bytes_left) == (105.0, 7)
    assert drains.begin(two, 100.0) is not None
    assert drains.begin(three, 100.0) is None
    assert (drains.begun_total, drains.refused_total) == (2, 1)
    drains.running.discard(one)
    assert drains.begin(three, 100.0) is not None
