"""A real Redis Cluster for tests: three primaries, a replica of each, a failover in about a second."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sidecar.store.topology import SLOTS
from tests.support.ports import free_ports
from tests.support.store import StoreServer
from tests.support.until import until_sync

BUS = 10_000
"""What a node adds to its port for the bus between nodes."""


class ClusterNode(StoreServer):
    """One server of the cluster; it keeps its port when it is started again."""

    def __init__(self, port: int, binary: Path | None, *, node_timeout_ms: int) -> None:
        super().__init__(
            "--bind", "127.0.0.1", "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
            "--cluster-node-timeout", str(node_timeout_ms), "--repl-diskless-sync-delay", "0",
            "--cluster-replica-validity-factor", "0", "--repl-ping-replica-period", "1",
            binary=binary, append_only=True, port=port,
        )  # fmt: skip
        self.port = port

    def run(self, *command: str | int) -> Any:
        with self.client() as client:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py left it without types.

    @property
    def node_id(self) -> str:
        found: str = self.run("CLUSTER", "MYID").decode()
        return found


class Cluster:
    """`nodes` are all of them. `url` names two of the first ones, so that a lane has to find the others."""

    def __init__(self, binary: Path | None = None, *, primaries: int = 3, replicas: int = 1) -> None:
        ports = free_ports(primaries * (1 + replicas), beside=BUS)
        self.nodes = [ClusterNode(port, binary, node_timeout_ms=500) for port in ports]
        self._primaries = primaries

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        first, *others = self.nodes
        for epoch, node in enumerate(self.nodes, start=1):
            node.run("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for node in others:
            node.run("CLUSTER", "MEET", "127.0.0.1", first.port)
        primaries, replicas = self.nodes[: self._primaries], self.nodes[self._primaries :]
        for index, node in enumerate(primaries):
            slots = range(index * SLOTS // len(primaries), (index + 1) * SLOTS // len(primaries))
            node.run("CLUSTER", "ADDSLOTS", *slots)
        until_sync(lambda: all(self._knows_all(node) for node in self.nodes), "the nodes to know each other")
        for index, node in enumerate(replicas):
            node.run("CLUSTER", "REPLICATE", primaries[index % len(primaries)].node_id)
        self.until_whole()

    def until_whole(self) -> None:
        """Wait until all nodes run, agree, and replicate."""
        until_sync(lambda: all(map(self._is_well, self.nodes)), "the cluster to be whole")
        until_sync(lambda: len(set(map(self._view, self.nodes))) == 1, "the nodes to agree")

    def remove(self) -> None:
        for node in self.nodes:
            node.remove()

    def flush(self) -> None:
        """Empty the cluster, replicas too: one that lags behind brings back what was there when it is promoted."""
        for node in self.nodes:
            if self.is_primary(node):
                node.run("FLUSHALL")
        until_sync(lambda: not any(node.run("DBSIZE") for node in self.nodes), "every node to be empty")

    def is_primary(self, node: ClusterNode) -> bool:
        return bool(node.run("ROLE")[0] == b"master")

    def primary_of(self, slot: int) -> ClusterNode:
        """Who serves `slot`, as the first node sees it."""
        for start, end, primary, *_ in self.running().run("CLUSTER", "SLOTS"):
            if start <= slot <= end:
                return next(node for node in self.nodes if node.port == primary[1])
        raise AssertionError(f"nobody serves slot {slot}")

    def two_primaries(self, slot: int) -> tuple[ClusterNode, ClusterNode]:
        """Who serves `slot`, and somebody else who could."""
        source = self.primary_of(slot)
        return source, next(node for node in self.nodes if self.is_primary(node) and node is not source)

    def replica_of(self, primary: ClusterNode) -> ClusterNode:
        return next(node for node in self.nodes if not self.is_primary(node) and node.run("ROLE")[2] == primary.port)

    def running(self) -> ClusterNode:
        return next(node for node in self.nodes if node.alive)

    @contextmanager
    def migrating(self, slot: int, source: ClusterNode, target: ClusterNode) -> Iterator[None]:
        """Inside, `slot` is on its way from `source` to `target`; afterwards it belongs to `target`."""
        target.run("CLUSTER", "SETSLOT", slot, "IMPORTING", source.node_id)
        source.run("CLUSTER", "SETSLOT", slot, "MIGRATING", target.node_id)
        try:
            yield
        finally:
            for node in (target, source, *self.nodes):
                if self.is_primary(node):
                    node.run("CLUSTER", "SETSLOT", slot, "NODE", target.node_id)

    @staticmethod
    def move_keys(slot: int, source: ClusterNode, target: ClusterNode) -> int:
        """Move some keys of a slot that is migrating; how many."""
        keys = source.run("CLUSTER", "GETKEYSINSLOT", slot, 10)
        if keys:
            source.run("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def _knows_all(self, node: ClusterNode) -> bool:
        nodes = node.run("CLUSTER", "NODES")
        return nodes.count(b"\n") == len(self.nodes) and b"handshake" not in nodes

    def _is_well(self, node: ClusterNode) -> bool:
        if not node.alive:
            return False
        role = node.run("ROLE")
        in_step = role[0] == b"master" or role[3] == b"connected"
        return in_step and b"cluster_state:ok" in node.run("CLUSTER", "INFO")

    @staticmethod
    def _view(node: ClusterNode) -> str:
        rows = node.run("CLUSTER", "SLOTS")
        return repr(sorted((row[0], row[1], row[2][1], sorted(other[1] for other in row[3:])) for row in rows))
