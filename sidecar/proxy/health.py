"""Active health checks: a small GET to each address every few seconds, told to its breaker.

Without them an address that failed gets a customer's request to find out whether it is back; with them it is asked
before. A check has a connection of its own: it shall see what a new client would see.
"""

import asyncio
import logging
import re

from sidecar.http1.upstream import Origin
from sidecar.proxy.upstreams import Address

log = logging.getLogger("sidecar.upstreams")

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9])[ \r]")
_HEAD_MAX_BYTES = 65_536


class Health:
    """`run` checks one address until it is cancelled; a status below 400 is a good answer."""

    def __init__(self, path: str, *, interval_s: float, timeout_s: float) -> None:
        self._path = path
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self.failures_total = 0

    async def run(self, address: Address) -> None:
        """A check every interval, for ever."""
        while True:
            await self.check(address)
            await asyncio.sleep(self._interval_s)

    async def check(self, address: Address) -> None:
        """One check. Where requests may not go, a good answer lets them go again."""
        breaker, now_s = address.breaker, address.pool.engine.loop.time
        why = await self._ask(address)
        if not why:
            if breaker.succeeded(probe=False):
                log.warning("the upstream %s is healthy again", address.pool.origin)
            return
        self.failures_total += 1
        if breaker.failed(now_s(), probe=False):
            log.error("the upstream %s is left alone, it failed its health checks: %s", address.pool.origin, why)

    async def _ask(self, address: Address) -> str:
        """What was wrong; "" when all was well."""
        origin: Origin = address.pool.origin
        target = address.policy.path_prefix + self._path.encode("ascii")
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_connection(
                    origin.host,
                    origin.port,
                    ssl=origin.tls,
                    server_hostname=origin.host if origin.tls else None,
                    limit=_HEAD_MAX_BYTES,
                )
                try:
                    host = address.policy.host
                    writer.write(b"GET %b HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n" % (target, host))
                    line = await reader.readline()
                finally:
                    writer.transport.abort()
        except (OSError, TimeoutError, ValueError) as error:
            return str(error) or "no answer in time"
        status = _STATUS.match(line)
        if status is None:
            return "what it sent is not HTTP"
        return "" if int(status[1]) < 400 else f"it answered {status[1].decode()}"
