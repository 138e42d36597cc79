"""Which node of a cluster serves which slot, and which slot a command belongs to. It asks nobody.

All keys of ours in one command have the same hash tag, so the first one in its bytes says where it belongs.
"""

import bisect
from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any

from sidecar.store.address import Node

SLOTS = 16_384

_TAG = b"sidecar:{"


def tag_of(packed: bytes) -> bytes:
    """The hash tag of a packed command's keys; empty when it has no key of ours."""
    start = packed.find(_TAG) + len(_TAG)
    return packed[start : packed.find(b"}", start)] if start >= len(_TAG) else b""


def slot_of(tag: bytes) -> int:
    """The slot of every key with this hash tag."""
    return crc_hqx(tag, 0) % SLOTS


class Topology:
    """A cluster as one of its nodes sees it."""

    def __init__(self, ranges: Sequence[tuple[int, int, Node]] = (), replicas: Sequence[Node] = ()) -> None:
        self._ranges = sorted(ranges)
        self._ends = [end for _, end, _ in self._ranges]
        self.primaries = frozenset(node for _, _, node in self._ranges)
        self.nodes = tuple(dict.fromkeys((*self.primaries, *replicas)))
        """Everybody who may be asked, primaries first."""

    @property
    def complete(self) -> bool:
        """Whether every slot is served."""
        return sum(end - start + 1 for start, end, _ in self._ranges) == SLOTS

    def primary_of(self, slot: int) -> Node | None:
        index = bisect.bisect_left(self._ends, slot)
        if index == len(self._ranges) or self._ranges[index][0] > slot:
            return None
        return self._ranges[index][2]


def read_topology(reply: list[list[Any]], asked: Node) -> Topology:
    """What ``CLUSTER SLOTS`` answered: rows of first slot, last slot, primary, replicas. `asked` is who answered."""
    ranges, replicas = [], []
    for start, end, primary, *others in reply:
        ranges.append((start, end, _node(primary, asked)))
        replicas += [_node(other, asked) for other in others]
    return Topology(ranges, replicas)


def read_redirection(message: str, asked: Node) -> Node:
    """The node in ``MOVED 3999 127.0.0.1:6381`` or ``ASK …``."""
    host, _, port = message.split(" ")[2].rpartition(":")
    return Node(host or asked.host, int(port))


def _node(entry: list[Any], asked: Node) -> Node:
    # A node that does not know its own address leaves it out: it is where it was asked.
    host = entry[0].decode() if entry[0] else ""
    return Node(asked.host if host in {"", "?"} else host, entry[1])
