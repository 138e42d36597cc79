"""One request to a control API and its answer, over aiohttp; when it is sent again, and when not.

A request is repeated when it changes nothing or has an Idempotency-Key, and only for what passes by itself: no
connection, a broken one, 429 and 503, and a 409 while the same request is at work. It knows no endpoint.
"""

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from sidecar.client.errors import ApiError, NotTheApi, Unclear, Unreachable

ATTEMPTS_MAX: Final = 4
BACKOFF_S: Final = 0.1
WAIT_MAX_S: Final = 10.0
"""A server that asks for more patience than this is not waited for."""
PASSING: Final = frozenset({429, 503})
IN_PROGRESS: Final = "request_in_progress"

_PIECE_BYTES = 65_536


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A success: its bytes, and what its head says."""

    status: int
    body: bytes
    replayed: bool
    version: int | None


class Transport:
    """Requests to the API at `url`, with `key`. To be closed; its session opens with the first request."""

    def __init__(self, url: str, key: str, *, timeout_s: float = 30.0, attempts: int = ATTEMPTS_MAX) -> None:
        self.url = url.rstrip("/")
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s)
        self._attempts = attempts
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ask(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """One request, repeated where that is safe. Raises `ApiError`, `Unreachable`, `Unclear`, `NotTheApi`."""
        repeatable = method in {"GET", "HEAD"} or "Idempotency-Key" in headers
        for attempt in range(self._attempts if repeatable else 1):
            last = attempt + 1 == self._attempts or not repeatable
            try:
                return await self._once(method, target, body, headers)
            except ApiError as error:
                wait_s = error.retry_after_s if error.retry_after_s is not None else _backoff_s(attempt)
                if last or not _passes(error) or wait_s > WAIT_MAX_S:
                    raise
            except (Unreachable, Unclear):
                if last:
                    raise
                wait_s = _backoff_s(attempt)
            await asyncio.sleep(wait_s)
        raise AssertionError("the last attempt answers or raises")

    async def stream(self, target: str) -> AsyncGenerator[bytes, None]:
        """A file, piece by piece; raises `Unclear` when it breaks off."""
        async with self._exchange("GET", target, None, {}) as response:
            if response.status != 200:
                raise await self._problem(response)
            async for piece in response.content.iter_chunked(_PIECE_BYTES):
                yield piece

    async def _once(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        async with self._exchange(method, target, body, headers) as response:
            if response.status >= 300:
                raise await self._problem(response)
            tag = response.headers.get("ETag", "").strip('"')
            return Answer(
                status=response.status,
                body=await response.read(),
                replayed=response.headers.get("Idempotent-Replayed") == "true",
                version=int(tag) if tag.isdigit() else None,
            )

    @asynccontextmanager
    async def _exchange(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request, and its answer while it is read; aiohttp's failures are ours from here on."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        shown = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json", **headers}
        url = URL(self.url + target, encoded=True)
        try:
            async with self._session.request(
                method, url, data=body, headers=shown, allow_redirects=False
            ) as response:
                if not response.headers.get("x-request-id", "").startswith("req_"):
                    raise self._strange(response.status)
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            why = _why(getattr(error, "os_error", None))
            raise Unreachable(f"No control API at {self.url} ({why}).") from error
        except UnicodeError as error:
            raise Unreachable(f"No control API at {self.url} ({error}).") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unclear(
                f"The control API at {self.url} did not answer, so the request may have been carried out or not."
            ) from error

    async def _problem(self, response: aiohttp.ClientResponse) -> ApiError | NotTheApi:
        try:
            problem = msgspec.json.decode(await response.read(), type=dict[str, Any])
        except msgspec.DecodeError:
            return self._strange(response.status)
        return ApiError(response.status, problem, _retry_after_s(response.headers.get("Retry-After", "")))

    def _strange(self, status: int) -> NotTheApi:
        return NotTheApi(f"{self.url} answered {status}, and not as the control API does: is the URL right?", status)


def _why(error: OSError | None) -> str:
    """Asyncio puts the reason into a sentence of its own; the number says it as every program does."""
    if error is None:
        return "no answer in time"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else (error.strerror or str(error))


def _passes(error: ApiError) -> bool:
    return error.status in PASSING or error.problem_code == IN_PROGRESS


def _backoff_s(attempt: int) -> float:
    """Full jitter, so that those who failed together do not come again together."""
    return random.uniform(0, BACKOFF_S * 2**attempt)  # noqa: S311  (nobody gains by guessing it)


def _retry_after_s(text: str) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date."""
    if text.isdigit():
        return float(text)
    try:
        return max(parsedate_to_datetime(text).timestamp() - time.time(), 0)
    except ValueError:
        return None
