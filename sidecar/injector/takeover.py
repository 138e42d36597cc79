"""Which ports of a pod go over to the sidecar, and what has to change in the application's containers. Pure.

The one idea: a Service that targets a port by its **name** follows the name. So the sidecar gets it, the
application's port keeps its number and gets another name, and whatever else named the port inside the application's
container (probes, hooks) gets the number, since a name is looked up in its own container only.

A Service takes the first container that has the name, ordinary ones before native sidecars. Therefore the name is
removed from all of them: one that is left would be in front of ours.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from sidecar.injector.annotations import is_port_name
from sidecar.injector.pod import Container, Handler, Pod, Port

CONTAINER: Final = "entitlement-sidecar"
ADMIN_PORT: Final = "sidecar-admin"
"""Name of the port with health and metrics."""

_FIRST_PORT: Final = 15080
_FIRST_ADMIN_PORT: Final = 15081
_NAME_MAX: Final = 15


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One port that goes over, and the sidecar that gets it. One process serves one application port."""

    name: str
    container: str
    """The application's."""
    port: int
    """The application's, as before."""
    renamed: str
    """What the application's port is called from now on."""
    host_port: int
    sidecar: str
    sidecar_port: int
    admin_port: int


class Besides(msgspec.Struct, frozen=True):
    """A port of a name that another container has before it: it is renamed, too, and stays where it is."""

    name: str
    container: str
    port: int


class Change(msgspec.Struct, frozen=True):
    """A value in the pod to be replaced; `path` is a JSON pointer."""

    path: str
    value: int | str


class Takeover(msgspec.Struct, frozen=True, kw_only=True):
    """What goes over; `missing` are the names that no container has."""

    taken: tuple[Taken, ...]
    besides: tuple[Besides, ...]
    changes: tuple[Change, ...]
    missing: tuple[str, ...]

    @property
    def own_ports(self) -> frozenset[int]:
        """Numbers that our containers listen on."""
        return frozenset(port for each in self.taken for port in (each.sidecar_port, each.admin_port))


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    container: Container
    index: int
    port: Port


def plan(pod: Pod, names: tuple[str, ...]) -> Takeover:
    """Take over the TCP ports of these names, in this order."""
    used = {port.name for _, container in pod.placed for port in container.ports or []} | {ADMIN_PORT, *names}
    taken: list[Taken] = []
    besides: list[Besides] = []
    changes: list[Change] = []
    missing: list[str] = []
    for name in names:
        places = list(_places(pod, name))
        if not places:
            missing.append(name)
            continue
        renamed = _renamed(name, used)
        used.add(renamed)
        number, first = len(taken), places[0]
        taken.append(
            Taken(
                name=name,
                container=first.container.name,
                port=first.port.container_port,
                renamed=renamed,
                host_port=first.port.host_port,
                sidecar=CONTAINER if number == 0 else f"{CONTAINER}-{number + 1}",
                sidecar_port=_FIRST_PORT if number == 0 else _FIRST_ADMIN_PORT + number,
                admin_port=_FIRST_ADMIN_PORT + 100 * number,
            )
        )
        besides += [Besides(name, each.container.name, each.port.container_port) for each in places[1:]]
        for place in places:
            changes.append(Change(f"{place.path}/ports/{place.index}/name", renamed))
            changes += _numbered(place)
    return Takeover(taken=tuple(taken), besides=tuple(besides), changes=tuple(changes), missing=tuple(missing))


def is_ours(name: str) -> bool:
    """Whether a container of this name is one that we put in."""
    return name == CONTAINER or (name.startswith(f"{CONTAINER}-") and name.removeprefix(f"{CONTAINER}-").isdigit())


def _places(pod: Pod, name: str) -> Iterator[_Place]:
    for path, container in pod.placed:
        for index, port in enumerate(container.ports or []):
            if port.name == name and port.protocol == "TCP" and not is_ours(container.name):
                yield _Place(path=path, container=container, index=index, port=port)


def _renamed(name: str, used: set[str]) -> str:
    """``http`` becomes ``http-app``: a name that is free, and not longer than names may be."""
    for number in range(1, len(used) + 2):
        ending = "-app" if number == 1 else f"-app{number}"
        candidate = name[: _NAME_MAX - len(ending)].rstrip("-") + ending
        if candidate not in used and is_port_name(candidate):
            return candidate
    raise AssertionError("one of so many names is free")


def _numbered(place: _Place) -> Iterator[Change]:
    """What names the port inside its own container, by number."""
    container, lifecycle = place.container, place.container.lifecycle
    handlers: dict[str, Handler | None] = {
        "livenessProbe": container.liveness_probe,
        "readinessProbe": container.readiness_probe,
        "startupProbe": container.startup_probe,
    }
    if lifecycle is not None:
        handlers |= {"lifecycle/postStart": lifecycle.post_start, "lifecycle/preStop": lifecycle.pre_stop}
    for field, handler in handlers.items():
        if handler is None:
            continue
        for kind, target in (("httpGet", handler.http_get), ("tcpSocket", handler.tcp_socket)):
            if target is not None and target.port == place.port.name:
                yield Change(f"{place.path}/{field}/{kind}/port", place.port.container_port)
