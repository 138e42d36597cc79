"""The lane to a cluster when the nodes contradict each other, are away, or are no cluster."""

from collections.abc import Iterator

import pytest

from sidecar.domain.errors import StoreError, StoreTimeout, StoreUnavailable
from sidecar.store.address import parse_address
from sidecar.store.commands import TAKE_LEASE, bulk
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane
from sidecar.store.topology import slot_of
from tests.support.books import open_lane
from tests.support.cluster import Cluster
from tests.support.ports import free_ports
from tests.support.puppet import Puppet
from tests.support.relay import serving
from tests.support.store import StoreServer
from tests.support.until import until, until_async

KEY = "sidecar:{7}:key"
SLOT = slot_of(b"7")
OTHER_KEY = next(f"sidecar:{{{number}}}:key" for number in range(64) if slot_of(b"%d" % number) < SLOT)


@pytest.fixture(scope="module")
def small_cluster() -> Iterator[Cluster]:
    """One primary alone: what it says is the cluster."""
    cluster = Cluster(primaries=1, replicas=0)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.remove()


def slots(port: int, *, host: str = "127.0.0.1", first: int = 0, last: int = 16_383) -> bytes:
    """A row of CLUSTER SLOTS."""
    return b"*3\r\n:%d\r\n:%d\r\n*3\r\n%b:%d\r\n%b" % (first, last, bulk(host.encode()), port, bulk(b"id"))


def two_rows(port: int, port_of_key: int) -> bytes:
    """CLUSTER SLOTS of two nodes, the second of which has `KEY`."""
    return b"*2\r\n" + slots(port, last=SLOT - 1) + slots(port_of_key, first=SLOT)


async def answered(lane: Lane, expected: bytes | None) -> bool:
    try:
        return bool(await lane.execute("GET", KEY) == expected)
    except StoreUnavailable:
        return False


async def test_nodes_that_send_a_command_around_are_given_up_in_time() -> None:
    one, other = Puppet(), Puppet()
    async with serving(one) as port, serving(other) as other_port:
        one.answers["CLUSTER"] = other.answers["CLUSTER"] = b"*1\r\n" + slots(port)
        one.answers["GET"] = b"-MOVED 1 127.0.0.1:%d\r\n" % other_port
        other.answers["GET"] = b"-MOVED 1 127.0.0.1:%d\r\n" % port
        async with open_lane(f"redis+cluster://127.0.0.1:{port}", timeout_s=0.5) as lane:
            # Its time may be up while one of them has it.
            with pytest.raises(StoreError, match=r"MOVED|redirection"):
                await lane.execute("GET", KEY)
    assert 2 < one.heard["GET"] + other.heard["GET"] < 40


async def test_a_silent_node_leaves_a_redirected_command_unknown() -> None:
    one, other = Puppet(), Puppet(GET=b"")
    async with serving(one) as port, serving(other) as other_port:
        one.answers["CLUSTER"] = b"*1\r\n" + slots(port)
        one.answers["GET"] = b"-MOVED 1 :%d\r\n" % other_port
        async with open_lane(f"redis+cluster://127.0.0.1:{port}", timeout_s=0.2) as lane:
            with pytest.raises(StoreTimeout, match="redirection"):
                await lane.execute("GET", KEY)
            assert (lane.timeouts_total, other.heard["GET"]) == (1, 1)


async def test_a_redirection_to_nowhere_is_refused() -> None:
    one = Puppet()
    async with serving(one) as port:
        one.answers["CLUSTER"] = b"*1\r\n" + slots(port)
        one.answers["GET"] = b"-ASK 1 127.0.0.1:%d\r\n" % free_ports(1)[0]
        async with open_lane(f"redis+cluster://127.0.0.1:{port}") as lane:
            with pytest.raises(StoreUnavailable, match="cannot be reached"):
                await lane.execute("GET", KEY)


async def test_closing_ends_what_is_on_its_way() -> None:
    one = Puppet(GET=b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n")
    async with serving(one) as port:
        one.answers["CLUSTER"] = b"*1\r\n" + slots(port)
        async with open_lane(f"redis+cluster://127.0.0.1:{port}") as lane:
            waiting = lane.execute("GET", KEY)
            await until(lambda: one.heard["GET"] > 1, "the command to be repeated")
        with pytest.raises((StoreUnavailable, StoreTimeout)):
            await waiting


async def test_a_slot_that_nobody_serves_is_unavailable_until_somebody_does(small_cluster: Cluster) -> None:
    (node,) = small_cluster.nodes
    async with open_lane(small_cluster.url) as lane:
        slot = await lane.execute("CLUSTER", "KEYSLOT", KEY)
        node.run("CLUSTER", "DELSLOTS", slot)
        with pytest.raises(StoreUnavailable):
            await lane.execute("GET", KEY)
        node.run("CLUSTER", "ADDSLOTS", slot)
        await until_async(lambda: answered(lane, None), "the slot to be served again")


async def test_a_slot_on_no_map_is_refused_without_asking() -> None:
    one = Puppet()
    async with serving(one) as port:
        one.answers["CLUSTER"] = b"*1\r\n" + slots(port, last=10)
        async with open_lane(f"redis+cluster://127.0.0.1:{port}") as lane:
            with pytest.raises(StoreUnavailable, match="right node"):
                await lane.execute("GET", KEY)
        assert one.heard["GET"] == 0


async def test_a_primary_that_is_away_at_the_start_is_found_later() -> None:
    away = free_ports(1)[0]
    one, other = Puppet(), Puppet(GET=b"$1\r\nx\r\n")
    async with serving(one) as port:
        one.answers["CLUSTER"] = two_rows(port, away)
        async with open_lane(f"redis+cluster://127.0.0.1:{port}") as lane, serving(other) as other_port:
            with pytest.raises(StoreUnavailable):
                await lane.execute("GET", KEY)
            assert lane.connected
            one.answers["CLUSTER"] = two_rows(port, other_port)
            await until_async(lambda: answered(lane, b"x"), "the other node to be found")


async def test_a_primary_that_is_lost_is_replaced_by_whom_the_map_names_then() -> None:
    one, lost, new = Puppet(), Puppet(), Puppet(GET=b"$3\r\nnew\r\n")
    async with serving(one) as port, serving(lost) as lost_port, serving(new) as new_port:
        one.answers["CLUSTER"] = lost.answers["CLUSTER"] = two_rows(port, lost_port)
        async with open_lane(f"redis+cluster://127.0.0.1:{port}"):
            one.answers["CLUSTER"] = lost.answers["CLUSTER"] = two_rows(port, new_port)
            lost.writers[-1].close()
            await until(lambda: new.heard["SCRIPT"], "the new primary to be reached")


async def test_a_node_that_is_no_primary_any_more_may_still_answer() -> None:
    one, old, new = Puppet(), Puppet(SET=b""), Puppet(GET=b"$3\r\nnew\r\n")
    async with serving(one) as port, serving(old) as old_port, serving(new) as new_port:
        one.answers["CLUSTER"] = two_rows(port, old_port)
        async with open_lane(f"redis+cluster://127.0.0.1:{port}") as lane:
            late = lane.execute("SET", KEY, "v")
            await until(lambda: old.heard["SET"], "the command to arrive")
            one.answers["CLUSTER"] = two_rows(port, new_port)
            one.answers["GET"] = b"-CLUSTERDOWN The cluster is down\r\n"
            with pytest.raises(StoreUnavailable, match="CLUSTERDOWN"):
                await lane.execute("GET", OTHER_KEY)
            await until(lambda: new.heard["SCRIPT"], "the new primary to be reached")
            await until_async(lambda: answered(lane, b"new"), "the new primary to serve")
            old.writers[-1].write(b"+late\r\n")
            assert await late == b"late"


class TestAddresses:
    async def test_a_node_of_a_cluster_is_no_single_server(self, small_cluster: Cluster) -> None:
        with pytest.raises(StoreUnavailable, match=r"is a node of a Redis Cluster: .* redis\+cluster://"):
            await make_lane(parse_address(small_cluster.url.replace("+cluster", ""))).open()

    async def test_a_single_server_is_no_cluster(self) -> None:
        (port,) = free_ports(1)
        server = StoreServer("--bind", "127.0.0.1", port=port)
        server.start()
        try:
            with pytest.raises(StoreUnavailable, match="is no node of a cluster: write its address as redis://"):
                await make_lane(parse_address(f"redis+cluster://127.0.0.1:{port}")).open()
        finally:
            server.remove()

    async def test_nobody_there_is_one_sentence(self) -> None:
        one, other = free_ports(2)
        lane = make_lane(parse_address(f"redis+cluster://:secret@127.0.0.1:{one},127.0.0.1:{other}"))
        with pytest.raises(StoreUnavailable, match=r"No node of the cluster at redis\+cluster://:\*\*\*@.*efused"):
            await lane.open()
        assert not lane.connected
        with pytest.raises(StoreUnavailable):
            lane.execute("GET", KEY)

    async def test_a_password_opens_every_node(self) -> None:
        node = Puppet()
        async with serving(node) as port:
            node.answers["CLUSTER"] = b"*1\r\n" + slots(port, host="")
            async with open_lane(f"redis+cluster://user:secret@127.0.0.1:{port}") as lane:
                assert await lane.send(TAKE_LEASE.pack([KEY.encode()], ["me", 1])) == b"OK"
        assert node.heard["AUTH"] == 1
