"""A clock of the store that a test sets: what the scripts take for Redis' TIME."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from sidecar.store.commands import SCRIPTS, Script, shifted
from tests.support.store import StoreServer

_KEY = "the clock of this test, ms"
_TIME = "redis.call('TIME')"
_SET = f"(function() local ms = redis.call('GET', '{_KEY}') return {{math.floor(ms / 1000), ms % 1000 * 1000}} end)()"


class StoreClock:
    """The time of a store's scripts, in ms; it stands still until it is moved."""

    def __init__(self, client: redis.Redis, now_ms: int) -> None:
        self._client = client
        self.now_ms = now_ms
        client.set(_KEY, now_ms)

    def tick(self, ms: int) -> None:
        self.now_ms += ms
        self._client.set(_KEY, self.now_ms)


@contextmanager
def store_clock(server: StoreServer, now_ms: int) -> Iterator[StoreClock]:
    """Lanes that are opened inside ask this clock. Emptying the store takes it away: make it afterwards."""
    with server.client() as client:
        _retell(_TIME, _SET)
        try:
            yield StoreClock(client, now_ms)
        finally:
            _retell(_SET, _TIME)


def _retell(old: str, new: str) -> None:
    for script in SCRIPTS:
        _reload(script, script.text.replace(old, new))
    shifted.cache_clear()


def _reload(script: Script, text: str) -> None:
    script._load(list(zip(script._places, text.splitlines(keepends=True), strict=True)))
    script.head.cache_clear()
