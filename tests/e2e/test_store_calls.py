"""What a request costs the store: one script call before the upstream, one after, and nothing else."""

import pytest

from tests.e2e.house import CREDIT, House, sidecar
from tests.support.rawhttp import RawClient, request
from tests.support.store import StoreServer
from tests.support.upstream import answers

pytestmark = pytest.mark.asyncio(loop_scope="session")

REQUESTS = 20


async def test_two_script_calls_a_request_and_one_a_refusal(house: House, store_server: StoreServer) -> None:
    house.upstream.script = answers()
    async with sidecar(upstream=house.upstream.url, store=store_server.url) as whole:
        buyer = await whole.control.buyer(REQUESTS * CREDIT)
    # From here on without a control API, whose sweep would be counted too.
    async with (
        sidecar("proxy", upstream=house.upstream.url, store=store_server.url) as running,
        RawClient(running.proxy_port) as client,
    ):
        for expected, calls in ((200, 2 * REQUESTS), (402, REQUESTS)):
            with store_server.client() as store:
                store.config_resetstat()
                for _ in range(REQUESTS):
                    await client.send(request("GET", "/fixed/a", buyer.bearer))
                    assert (await client.answer()).status == expected
                statistics = store.info("commandstats")
            # What else is counted are the commands inside the scripts.
            assert statistics["cmdstat_evalsha"]["calls"] == calls
            assert not statistics.keys() & {"cmdstat_eval", "cmdstat_script|load", "cmdstat_ping", "cmdstat_multi"}
