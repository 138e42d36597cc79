"""Ids of requests that we answer ourselves."""

from sidecar.proxy.request_ids import RequestIds


def test_ids_are_unique_in_and_between_processes() -> None:
    one, other = RequestIds(), RequestIds()
    ids = [ids.next() for ids in (one, other) for _ in range(1000)]
    assert len(set(ids)) == 2000
    assert all(text.startswith("req_") and text.isascii() and " " not in text for text in ids)
