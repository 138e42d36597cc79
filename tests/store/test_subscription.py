"""Listening to what scripts publish: on every kind of store, and what becomes of it when the connection dies."""

import asyncio

import pytest

from sidecar.domain.errors import StoreUnavailable
from sidecar.store import subscription as module
from sidecar.store.address import parse_address
from sidecar.store.commands import pack
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from tests.support.books import open_lane
from tests.support.cluster import Cluster
from tests.support.puppet import Puppet
from tests.support.relay import Relay, serving
from tests.support.store import StoreServer
from tests.support.until import until

SUBSCRIBED = b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
NO_CLUSTER = b"$17\r\ncluster_enabled:0\r\n"


async def publish(lane: Lane, channel: str, text: str) -> int:
    """By a script, as ours do; how many heard it as far as the script can tell."""
    heard: int = await lane.execute("EVAL", "return redis.call('PUBLISH', ARGV[1], ARGV[2])", 0, channel, text)
    return heard


async def test_it_hears_its_channel_until_it_is_closed(lane: Lane) -> None:
    heard: list[bytes] = []
    subscription = await lane.listen(b"mine", heard.append)
    assert lane.counts_listeners
    assert [await publish(lane, channel, "one") for channel in ("mine", "other")] == [1, 0]
    await until(lambda: heard == [b"one"], "the message")
    subscription.close()
    assert await subscription.lost == "we closed it"


async def test_at_any_node_of_a_cluster(cluster: Cluster, cluster_lane: Lane) -> None:
    heard: list[bytes] = []
    subscription = await cluster_lane.listen(b"mine", heard.append)
    assert not cluster_lane.counts_listeners
    for node in cluster.nodes:
        if cluster.is_primary(node):
            node.run("EVAL", "return redis.call('PUBLISH', 'mine', ARGV[1])", 0, str(node.port))
    await until(lambda: len(heard) == 3, "a message from each primary")
    subscription.close()


async def test_through_tcp_with_a_password(store_server: StoreServer) -> None:
    async with open_lane(store_server.url) as lane, serving(Relay(store_server.socket)) as port:
        await lane.execute("CONFIG", "SET", "requirepass", "watch-word")
        heard: list[bytes] = []
        other = make_lane(parse_address(f"redis://:watch-word@127.0.0.1:{port}"))
        subscription = await other.listen(b"mine", heard.append)
        await publish(lane, "mine", "one")
        await until(lambda: heard == [b"one"], "the message")
        subscription.close()


async def test_a_server_that_goes_away_shows(store_server: StoreServer) -> None:
    async with open_lane(store_server.url) as lane:
        subscription = await lane.listen(b"mine", lambda _: None)
        store_server.kill()
        async with asyncio.timeout(20):
            assert await subscription.lost == "the server closed the connection"


async def test_a_user_that_may_not_listen_is_told_what_would_be_right(store_server: StoreServer) -> None:
    async with open_lane(store_server.url) as lane:
        await lane.execute("ACL", "SETUSER", "default", "resetchannels")
        with pytest.raises(StoreUnavailable, match=r"listen to sidecar:woken:x.*&sidecar:\*"):
            await lane.listen(b"sidecar:woken:x", lambda _: None)


@pytest.mark.parametrize(
    ("url", "answers"),
    [
        ("redis://127.0.0.1:{port}", {"INFO": b"$17\r\ncluster_enabled:1\r\n"}),
        ("redis+sentinel://127.0.0.1:{port}/main", {"ROLE": b"*1\r\n$5\r\nslave\r\n"}),
    ],
    ids=["cluster", "replica"],
)
async def test_the_wrong_server_is_left_again(url: str, answers: dict[str, bytes]) -> None:
    puppet = Puppet(**answers, SUBSCRIBE=SUBSCRIBED)
    async with serving(puppet) as port:
        puppet.answers["SENTINEL"] = pack("127.0.0.1", port)
        with pytest.raises(StoreUnavailable, match=r"no primary any more|is a node of a Redis Cluster"):
            await make_lane(parse_address(url.format(port=port))).listen(b"c", lambda _: None)
        assert puppet.heard["SUBSCRIBE"] == 0


class TestSilence:
    async def test_of_a_server_that_is_asked(self) -> None:
        async with serving(Puppet(INFO=NO_CLUSTER, SUBSCRIBE=b"")) as port:
            lane = make_lane(parse_address(f"redis://127.0.0.1:{port}"), connect_timeout_s=0.1)
            with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.1 s"):
                await lane.listen(b"c", lambda _: None)

    async def test_of_one_that_has_died_shows_by_a_ping(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "PING_S", 0.02)
        puppet = Puppet(INFO=NO_CLUSTER, SUBSCRIBE=SUBSCRIBED, PING=b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
        async with serving(puppet) as port:
            subscription = await make_lane(parse_address(f"redis://127.0.0.1:{port}")).listen(b"c", lambda _: None)
            await until(lambda: puppet.heard["PING"] > 2, "some pings")
            assert not subscription.lost.done()
            puppet.answers["PING"] = b""
            async with asyncio.timeout(20):
                assert await subscription.lost == "the server does not answer"

    async def test_nonsense_ends_it(self) -> None:
        async with serving(Puppet(INFO=NO_CLUSTER, SUBSCRIBE=SUBSCRIBED + b"nonsense\r\n")) as port:
            subscription = await make_lane(parse_address(f"redis://127.0.0.1:{port}")).listen(b"c", lambda _: None)
            async with asyncio.timeout(20):
                await subscription.lost
