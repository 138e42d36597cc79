"""The lane to a primary that a sentinel knows: it finds it, follows a failover, and says what is wrong."""

from collections.abc import Iterator

import pytest

from sidecar.domain.errors import StoreUnavailable
from sidecar.store.address import parse_address
from sidecar.store.commands import pack
from sidecar.store.lanes import make_lane
from tests.support.books import open_lane
from tests.support.effects import Effects
from tests.support.puppet import Puppet
from tests.support.relay import serving
from tests.support.sentinel import Watched
from tests.support.store import servers, version
from tests.support.until import until


@pytest.fixture(scope="module", params=servers(), ids=version)
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    watched = Watched(request.param)
    try:
        watched.start()
        yield watched
    finally:
        watched.remove()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("/main", "/other"), "knows no service 'other'"),
        (("watch-word", "wrong"), "refuses our user name or password"),
    ],
    ids=["service", "password"],
)
async def test_what_the_sentinel_refuses_is_one_sentence(
    watched: Watched, change: tuple[str, str], says: str
) -> None:
    with pytest.raises(StoreUnavailable, match=says) as caught:
        await make_lane(parse_address(watched.url.replace(*change))).open()
    assert "wrong" not in str(caught.value)


async def test_a_server_that_is_no_primary_is_left_again(watched: Watched) -> None:
    """A sentinel that has not heard of a failover yet names the old primary."""
    late = Puppet(SENTINEL=pack("127.0.0.1", watched.replica_port))
    async with serving(late) as port:
        with pytest.raises(StoreUnavailable, match="no primary any more"):
            await make_lane(parse_address(f"redis+sentinel://127.0.0.1:{port}/main")).open()


async def test_it_listens_at_the_primary(watched: Watched) -> None:
    heard: list[bytes] = []
    async with open_lane(watched.url) as lane:
        subscription = await lane.listen(b"mine", heard.append)
        assert await lane.execute("EVAL", "return redis.call('PUBLISH', 'mine', 'one')", 0) == 1
        await until(lambda: heard == [b"one"], "the message")
        subscription.close()


async def test_a_failover_is_followed(watched: Watched) -> None:
    async with open_lane(watched.url, timeout_s=0.3) as lane:
        effects = Effects(lane, partitions=range(2))
        async with effects.load():
            await effects.more()
            watched.first.kill()
            await until(lambda: effects.unknown or effects.refused, "the loss to show")
            await effects.more()
        assert lane.reconnects_total == 1
        with watched.servers[watched.replica_port].client() as client:
            assert client.execute_command("ROLE")[0] == b"master"  # type: ignore[no-untyped-call]  # redis-py's.
        found = await effects.found()
    # Replication is asynchronous, so the last effects before the loss may be gone with the primary.
    assert set(found.values()) == {1}
    assert not effects.refused & found.keys()
    assert found.keys() <= effects.done | effects.unknown
