"""The yardstick of entitlement checks: an aiohttp handler that gets one key of the store and answers with it.

``python -m benchmarks.bare_get PORT STORE_URL CLIENT`` has no keys, no prices and no decisions. `CLIENT` is
`redis-py`, what one would write, or `lane`, our own client of the store. uvloop, no access log.
"""

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable

import redis.asyncio
import uvloop
from aiohttp import web

from sidecar.store.address import parse_address
from sidecar.store.lanes import make_lane

ROUTE = "/v1/customers/{customer_id}/entitlements/{feature}"

Get = Callable[[str], Awaitable[bytes | str | None]]


class Client:
    """What gets a key."""

    def __init__(self, get: Get) -> None:
        self.get = get


CLIENT = web.AppKey("CLIENT", Client)


async def answer(request: web.Request) -> web.Response:
    found = await request.app[CLIENT].get(f"bare:{request.match_info['customer_id']}")
    return web.Response(
        body=b'{"found":%b}' % (b"false" if found is None else b"true"), content_type="application/json"
    )


def make_app(url: str, client: str) -> web.Application:
    async def by_redis_py(app: web.Application) -> AsyncIterator[None]:
        async with redis.asyncio.Redis.from_url(url) as opened:
            app[CLIENT] = Client(lambda key: opened.get(key))  # noqa: PLW0108  (its own takes other kinds of keys)
            yield

    async def by_lane(app: web.Application) -> AsyncIterator[None]:
        lane = make_lane(parse_address(url), timeout_s=5.0, connect_timeout_s=5.0)
        await lane.open()
        app[CLIENT] = Client(lambda key: lane.execute("GET", key))
        yield
        await lane.close()

    app = web.Application()
    app.cleanup_ctx.append({"redis-py": by_redis_py, "lane": by_lane}[client])
    app.router.add_get(ROUTE, answer)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bare_get", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("store")
    parser.add_argument("client", choices=("redis-py", "lane"))
    options = parser.parse_args()
    loop = uvloop.new_event_loop()
    web.run_app(
        make_app(options.store, options.client),
        host="127.0.0.1",
        port=options.port,
        access_log=None,
        print=None,
        loop=loop,
    )


if __name__ == "__main__":
    main()
