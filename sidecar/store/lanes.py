"""Which lane an address asks for."""

from sidecar.store.address import Address, Kind
from sidecar.store.cluster import ClusterLane
from sidecar.store.lane import Lane
from sidecar.store.sentinel import SentinelLane
from sidecar.store.server_lane import ServerLane

_LANES: dict[Kind, type[ServerLane | ClusterLane]] = {
    Kind.SERVER: ServerLane,
    Kind.CLUSTER: ClusterLane,
    Kind.SENTINEL: SentinelLane,
}


def make_lane(address: Address, *, timeout_s: float = 1.0, connect_timeout_s: float = 5.0) -> Lane:
    """A lane to the store at `address`, not open yet. A command gets its outcome within about 1.1 × `timeout_s`."""
    return _LANES[address.kind](address, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s)
