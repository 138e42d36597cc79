"""Reason phrases."""

from sidecar.http1.reasons import reason_of


def test_known_and_unknown() -> None:
    assert (reason_of(402), reason_of(200), reason_of(599)) == (b"Payment Required", b"OK", b"Unknown")
