"""What `on_short:` means; what is wrong with it is in ``cases``."""

import pytest

from sidecar.config.cursor import Cursor
from sidecar.config.rule_shortage import read_shortage
from sidecar.config.source import parse
from sidecar.domain.clamp import Clamp
from sidecar.domain.shortage import DENY, Shortage


@pytest.mark.parametrize(
    ("text", "shortage"),
    [
        ("deny", DENY),
        ("clamp max_tokens", Shortage(clamp=Clamp(("max_tokens",)))),
        ("clamp query.limit", Shortage(clamp=Clamp(("query.limit",)))),
        ("wait 2s", Shortage(wait_ms=2000)),
        ("wait 1m", Shortage(wait_ms=60_000)),
        ("{wait: 500ms}", Shortage(wait_ms=500)),
        ("{wait: 10s, clamp: n, least: 2}", Shortage(wait_ms=10_000, clamp=Clamp(("n",), 2))),
        ("{clamp: a.b, least: 16}", Shortage(clamp=Clamp(("a.b",), 16))),
        ("{clamp: [a, b], least: 1k}", Shortage(clamp=Clamp(("a", "b"), 1000))),
    ],
)
def test_what_happens_when_a_hold_does_not_fit(text: str, shortage: Shortage) -> None:
    cursor = Cursor(parse(text, "x.yaml"), [])
    assert read_shortage(cursor) == shortage
    assert not cursor.problems
