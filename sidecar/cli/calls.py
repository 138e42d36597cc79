"""Calls of the control API by the one client that there is, with failures in the command line's words.

Loaded with the first call: aiohttp takes a tenth of a second that `--help` need not wait for.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager

from sidecar.cli.client import ClientError, Unclear
from sidecar.client.errors import ApiError, NotTheApi, Unreachable
from sidecar.client.errors import Unclear as NobodyKnows
from sidecar.client.transport import Answer, Transport


def ask(url: str, key: str, method: str, target: str, payload: bytes | None, headers: Mapping[str, str]) -> Answer:
    """One request, sent once: people see a failure, and scripts decide for themselves. Raises ClientError."""
    with _our_words(url):
        return asyncio.run(_ask(Transport(url, key, attempts=1), method, target, payload, headers))


async def _ask(
    transport: Transport, method: str, target: str, payload: bytes | None, headers: Mapping[str, str]
) -> Answer:
    try:
        return await transport.ask(method, target, payload, headers)
    finally:
        await transport.close()


def download(url: str, key: str, target: str) -> Iterator[bytes]:
    """A file, piece by piece. Raises ClientError, also when it breaks off."""
    transport = Transport(url, key)
    pieces = transport.stream(target)
    with asyncio.Runner() as runner, _our_words(url, f"The file from {url} broke off: this is not all of it."):
        try:
            while piece := runner.run(_next(pieces)):
                yield piece
        finally:
            runner.run(_close(pieces, transport))


async def _next(pieces: AsyncGenerator[bytes, None]) -> bytes:
    return await anext(pieces, b"")


async def _close(pieces: AsyncGenerator[bytes, None], transport: Transport) -> None:
    await pieces.aclose()
    await transport.close()


@contextmanager
def _our_words(url: str, broken_off: str = "") -> Iterator[None]:
    """What failed, as a sentence for the person who gave the command; `broken_off`: of an answer that does."""
    try:
        yield
    except ApiError as error:
        if error.status == 401:
            raise ClientError(
                f"The control API at {url} refused the key: set SIDECAR_ADMIN_KEY to its key, "
                "or give --data the data folder of its `sidecar run`."
            ) from error
        unclear = error.status >= 500 and error.problem_code != "store_unavailable"
        raise (Unclear if unclear else ClientError)(error.detail) from error
    except Unreachable as error:
        raise ClientError(f"{error.detail.rstrip('.')}: is `sidecar run` running?") from error
    except NobodyKnows as error:
        raise (ClientError(broken_off) if broken_off else Unclear(error.detail)) from error
    except NotTheApi as error:
        raise ClientError(error.detail) from error
