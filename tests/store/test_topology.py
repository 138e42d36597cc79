"""The map of a cluster: which slot a command belongs to, and what nodes say about who serves it."""

import pytest

from sidecar.store.address import Node
from sidecar.store.commands import RESERVE, TAKE_LEASE, pack
from sidecar.store.keys import Keys
from sidecar.store.topology import Topology, read_redirection, read_topology, tag_of

ASKED = Node("asked", 7000)
A, B = Node("10.0.0.1", 1), Node("10.0.0.2", 2)


def test_the_tag_is_the_partition_of_the_first_key() -> None:
    keys = Keys("default", "live")
    assert tag_of(pack("GET", keys.due(12))) == b"12"
    assert tag_of(TAKE_LEASE.pack([keys.journal(63), keys.due(12)], ["sidecar:{5}:", 1])) == b"63"
    assert tag_of(RESERVE.pack([keys.due(0)] * 6)) == b"0"
    assert tag_of(pack("ECHO", "{12}")) == b""


def test_a_slot_is_found_in_its_range() -> None:
    topology = Topology([(5000, 16_383, B), (0, 100, A)], [Node("10.0.0.3", 3), A])
    assert [topology.primary_of(slot) for slot in (0, 100, 101, 4999, 5000, 16_383)] == [A, A, None, None, B, B]
    assert not topology.complete
    assert set(topology.nodes) == {A, B, Node("10.0.0.3", 3)}
    assert Topology([(0, 16_383, A)]).complete
    assert Topology().primary_of(0) is None


@pytest.mark.parametrize("unknown", [b"", None, b"?"])
def test_a_node_without_a_host_is_where_it_was_asked(unknown: bytes | None) -> None:
    topology = read_topology([[0, 16_383, [unknown, 1, b"id", []], [b"replica.example", 2, b"id"]]], ASKED)
    assert topology.primary_of(7) == Node("asked", 1)
    assert topology.nodes == (Node("asked", 1), Node("replica.example", 2))


@pytest.mark.parametrize(
    ("message", "node"),
    [
        ("MOVED 3999 127.0.0.1:6381", Node("127.0.0.1", 6381)),
        ("ASK 3999 ::1:6381", Node("::1", 6381)),
        ("MOVED 3999 :6381", Node("asked", 6381)),
        ("MOVED 3999 node.example:6381", Node("node.example", 6381)),
    ],
)
def test_a_redirection_names_a_node(message: str, node: Node) -> None:
    assert read_redirection(message, ASKED) == node
