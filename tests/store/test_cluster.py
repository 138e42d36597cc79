"""The lane to a cluster: every partition, resharding and failover under load, and each refusal of a node."""

import asyncio
import contextlib
from collections import Counter

import pytest

from sidecar.domain.errors import StoreError
from sidecar.domain.ids import PARTITIONS
from sidecar.store.commands import TAKE_LEASE
from sidecar.store.lane import Lane
from sidecar.store.topology import slot_of
from tests.support.books import open_lane
from tests.support.cluster import Cluster
from tests.support.effects import Effects
from tests.support.until import until, until_async


def key(partition: int, name: str = "key") -> str:
    return f"sidecar:{{{partition}}}:{name}"


def slot(partition: int) -> int:
    return slot_of(b"%d" % partition)


async def test_every_partition_is_served_with_one_write_for_each_node(cluster: Cluster, cluster_lane: Lane) -> None:
    await asyncio.gather(*(cluster_lane.execute("SET", key(number), number) for number in range(PARTITIONS)))
    flushes = cluster_lane.flushes_total
    found = await asyncio.gather(*(cluster_lane.execute("GET", key(number)) for number in range(PARTITIONS)))
    assert found == [b"%d" % number for number in range(PARTITIONS)]
    assert cluster_lane.flushes_total == flushes + 3
    assert {cluster.primary_of(slot(number)).port for number in range(PARTITIONS)} == {
        node.port for node in cluster.nodes if cluster.is_primary(node)
    }
    assert (cluster_lane.connected, cluster_lane.waiting, cluster_lane.reconnects_total) == (True, 0, 0)


async def test_the_slot_is_the_server_s(cluster_lane: Lane) -> None:
    for partition in range(PARTITIONS):
        assert await cluster_lane.execute("CLUSTER", "KEYSLOT", key(partition)) == slot(partition)


async def test_a_command_without_a_key_of_ours_is_led_to_its_node(cluster_lane: Lane) -> None:
    assert await cluster_lane.execute("ECHO", "x") == b"x"
    names = [f"name-{number}" for number in range(20)]
    await asyncio.gather(*(cluster_lane.execute("SET", name, name) for name in names))
    assert await asyncio.gather(*(cluster_lane.execute("GET", name) for name in names)) == [
        name.encode() for name in names
    ]


async def test_scripts_are_known_to_every_node_also_after_they_forgot(cluster: Cluster, cluster_lane: Lane) -> None:
    for node in cluster.nodes:
        node.run("SCRIPT", "FLUSH")
    taken = await asyncio.gather(
        *(cluster_lane.send(TAKE_LEASE.pack([key(number).encode()], ["me", 60_000])) for number in range(PARTITIONS))
    )
    assert taken == [1] * PARTITIONS


class TestResharding:
    async def test_a_slot_that_moved_is_found(self, cluster: Cluster, cluster_lane: Lane) -> None:
        await cluster_lane.execute("SET", key(0), "before")
        source, target = cluster.two_primaries(slot(0))
        with cluster.migrating(slot(0), source, target):
            cluster.move_keys(slot(0), source, target)
        assert await cluster_lane.execute("GET", key(0)) == b"before"
        commands = cluster_lane.commands_total
        assert await cluster_lane.execute("GET", key(0)) == b"before"
        assert cluster_lane.commands_total <= commands + 2

    async def test_under_load_nothing_is_lost_or_doubled(self, cluster: Cluster, cluster_lane: Lane) -> None:
        effects = Effects(cluster_lane, partitions=range(4))
        async with effects.load():
            await effects.more()
            for partition in range(4):
                source, target = cluster.two_primaries(slot(partition))
                with cluster.migrating(slot(partition), source, target):
                    while cluster.move_keys(slot(partition), source, target):
                        await effects.more(50)
                await effects.more(50)
        assert not effects.unknown
        assert await effects.found() == dict.fromkeys(effects.done, 1)

    async def test_a_script_whose_keys_are_apart_is_refused_when_its_time_is_up(self, cluster: Cluster) -> None:
        async with open_lane(cluster.url, timeout_s=0.2) as lane:
            await lane.execute("SET", key(1, "a"), "a")
            source, target = cluster.two_primaries(slot(1))
            with cluster.migrating(slot(1), source, target):
                # Its time may be up while the node has it once more.
                with pytest.raises(StoreError, match="TRYAGAIN"):
                    await lane.execute("EVAL", "return 1", 2, key(1, "a"), key(1, "b"))
                cluster.move_keys(slot(1), source, target)
            assert await lane.execute("EVAL", "return 1", 2, key(1, "a"), key(1, "b")) == 1

    async def test_a_script_is_brought_to_where_its_slot_is_going(self, cluster: Cluster, cluster_lane: Lane) -> None:
        source, target = cluster.two_primaries(slot(2))
        target.run("SCRIPT", "FLUSH")
        with cluster.migrating(slot(2), source, target):
            assert await cluster_lane.send(TAKE_LEASE.pack([key(2, "new").encode()], ["me", 60_000])) == 1
            assert target.run("CLUSTER", "COUNTKEYSINSLOT", slot(2)) == 1


class TestFailover:
    @pytest.mark.parametrize("way", ["killed", "frozen"])
    async def test_a_lost_primary_leaves_only_what_it_was_sent_unknown(self, cluster: Cluster, way: str) -> None:
        lost = cluster.primary_of(slot(0))
        async with open_lane(cluster.url, timeout_s=0.3) as lane:
            effects = Effects(lane, partitions=range(PARTITIONS), places=1)
            async with effects.load():
                await effects.more()
                (lost.kill if way == "killed" else lost.pause)()
                await until(lambda: effects.unknown or effects.refused, "the loss to show")
                await until_async(lambda: served(lane), "every partition to be served again")
                await effects.more()
            (lost.start if way == "killed" else lost.resume)()
            cluster.until_whole()
            assert lane.reconnects_total >= 1
            found = await counted(effects)
        # Replication is asynchronous, so the last effects before the loss may be gone with the primary.
        assert set(found.values()) == {1}
        assert not effects.refused & found.keys()
        assert found.keys() <= effects.done | effects.unknown

    async def test_a_planned_one_leaves_nothing_unknown(self, cluster: Cluster) -> None:
        async with open_lane(cluster.url) as lane:
            effects = Effects(lane, partitions=range(PARTITIONS), places=1)
            async with effects.load():
                await effects.more()
                old = cluster.primary_of(slot(0))
                cluster.replica_of(old).run("CLUSTER", "FAILOVER")
                await until(lambda: not cluster.is_primary(old), "the primaries to change")
                await effects.more()
            cluster.until_whole()
            found = await counted(effects)
        # Refused is what came while nobody served the slot.
        assert not effects.unknown
        assert not effects.refused & found.keys()
        assert found == dict.fromkeys(effects.done, 1)


async def counted(effects: Effects) -> Counter[str]:
    """All effects, as soon as every node answers in time again."""
    found: list[Counter[str]] = []

    async def count() -> bool:
        with contextlib.suppress(StoreError):
            found.append(await effects.found())
        return bool(found)

    await until_async(count, "all effects to be counted")
    return found[0]


async def served(lane: Lane) -> bool:
    """Every partition answers."""
    try:
        for number in range(PARTITIONS):
            await lane.execute("EXISTS", key(number))
    except StoreError:
        return False
    return True
