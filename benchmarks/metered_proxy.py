"""The obvious product: the plain aiohttp proxy with redis-py's `evalsha` and our own scripts.

``python -m benchmarks.metered_proxy PORT UPSTREAM_PORT STORE_URL`` holds and charges what our product does, and no
more: no retry, no sweep, no metrics, no refusal that an SDK would understand.
"""

import argparse
import itertools
import os
import re
from collections.abc import AsyncIterator

import msgspec
import redis.asyncio
from aiohttp import web

from benchmarks.plain_proxy import forward, make_app
from sidecar.domain import proxy_keys
from sidecar.domain.amounts import CREDITS
from sidecar.store.commands import COMMIT, RESERVE
from sidecar.store.keys import Keys

TTL_MS = 660_000
OUTPUT_TOKENS = re.compile(rb'"completion_tokens":\s*(\d+)')
CONNECTIONS_MAX = 1_024
"""redis-py's default (100) answers the 101st request at once with an error."""


class Request(msgspec.Struct):
    """The part of a chat completion's request that is priced."""

    max_tokens: int = 1_024


class Meter:
    """Hold before, charge after."""

    def __init__(self, store: "redis.asyncio.Redis") -> None:
        self._keys = Keys("default", "live")
        self._reserve = store.register_script(RESERVE.text)
        self._commit = store.register_script(COMMIT.text)
        self._prefix = os.urandom(8).hex()
        self._numbers = itertools.count()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("Authorization", "").removeprefix("Bearer ")
        customer = proxy_keys.customer_id_of(key, "live")
        if customer is None:
            return web.json_response({"code": "unidentified"}, status=401)
        body = await request.read()
        amount = msgspec.json.decode(body, type=Request).max_tokens
        place = self._keys.of(customer)
        account = self._keys.account(customer, CREDITS.name)
        hold = f"{self._prefix}{next(self._numbers)}"
        reserved = await self._reserve(
            keys=[*place.ledger, account.account, place.customer],
            args=[
                hold, TTL_MS, proxy_keys.credential(key), "",
                f"{hold} {customer} {TTL_MS} 0 {CREDITS.name}={amount} - chat", account.name, amount,
            ],
        )  # fmt: skip
        if reserved[0] != b"reserved":
            return web.json_response({"code": reserved[0].decode()}, status=402)

        async def charge(tail: bytes) -> None:
            used = OUTPUT_TOKENS.search(tail)
            tokens = int(used[1]) if used else amount
            settled = await self._commit(
                keys=[*place.ledger, account.account],
                args=[hold, 0, "owe", "", f"output_tokens={tokens}", "reported", account.name, tokens],
            )
            if settled[0] != b"committed":
                raise RuntimeError(f"the commit answered {settled}")

        return await forward(request, body, charge)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("upstream_port", type=int)
    parser.add_argument("store_url")
    options = parser.parse_args()
    store = redis.asyncio.Redis.from_url(options.store_url, max_connections=CONNECTIONS_MAX)

    async def close(_: web.Application) -> AsyncIterator[None]:
        yield
        await store.aclose()

    app = make_app(Meter(store).handle, options.upstream_port)
    app.cleanup_ctx.append(close)
    web.run_app(app, host="127.0.0.1", port=options.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
