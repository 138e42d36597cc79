"""How jobs are asked for: a GET to the upstream with the headers that every request to it gets.

It is slow and simple on purpose: a job is asked for every few seconds. aiohttp is imported with the first poll, so
that a process whose rules poll nothing does without it.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from sidecar.config.settings import Settings
from sidecar.proxy.upstream_settings import origin_of
from sidecar.services.credential import Credential
from sidecar.services.polling import Polled

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("sidecar.polling")

ANSWER_MAX_BYTES: Final = 1_048_576
TIMEOUT_MAX_S: Final = 30.0


class Polls:
    """`fetch` asks the first address of the upstream; close it in the end."""

    def __init__(self, settings: Settings, credential: Credential | None = None) -> None:
        self._settings = settings
        self._credential = credential
        self._session: aiohttp.ClientSession | None = None

    async def fetch(self, path: str) -> Polled | None:
        """What the upstream answers; None when it does not, in time and within bounds."""
        import aiohttp  # noqa: PLC0415 - see the module

        if self._session is None:
            upstream = self._settings.upstream
            tls = origin_of(self._settings, urlsplit(upstream.url)).tls
            self._session = aiohttp.ClientSession(
                headers={"Accept-Encoding": "identity", **upstream.headers},
                connector=aiohttp.TCPConnector(ssl=True if tls is None else tls),
                timeout=aiohttp.ClientTimeout(total=min(self._settings.timeouts.head_s, TIMEOUT_MAX_S)),
            )
        url = self._settings.upstream.url.rstrip("/") + path
        try:
            async with self._session.get(url, headers=self._fields(), allow_redirects=False) as answer:
                body = bytearray()
                async for piece in answer.content.iter_any():
                    body += piece
                    if len(body) > ANSWER_MAX_BYTES:
                        log.warning("the answer at %s is larger than %d bytes", path, ANSWER_MAX_BYTES)
                        return None
                fields = {name.lower(): value for name, value in answer.raw_headers}
                return Polled(answer.status, fields, bytes(body))
        except (aiohttp.ClientError, TimeoutError, asyncio.IncompleteReadError) as error:
            log.info("no answer at %s: %s", path, error)
            return None

    def _fields(self) -> dict[str, str]:
        """The upstream's credential as it is now."""
        return {} if self._credential is None else {self._credential.header: self._credential.value}

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
