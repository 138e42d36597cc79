"""What the injector reads of a pod. Everything else of it is neither decoded nor changed.

A patch names places by their index, so the pod itself is never written back. Fields that an API server may leave out
or send as null are empty here.
"""

from typing import Any

import msgspec


class _Read(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Fields that we do not know are not ours to judge."""


class Port(_Read, frozen=True, kw_only=True):
    container_port: int
    name: str = ""
    protocol: str = "TCP"
    host_port: int = 0


class Target(_Read, frozen=True, kw_only=True):
    """What a handler calls: a port by number or by name."""

    port: int | str


class Handler(_Read, frozen=True, kw_only=True):
    """A probe or a hook. One by gRPC has no place here: its port is always a number."""

    http_get: Target | None = None
    tcp_socket: Target | None = None


class Lifecycle(_Read, frozen=True, kw_only=True):
    post_start: Handler | None = None
    pre_stop: Handler | None = None


class Container(_Read, frozen=True, kw_only=True):
    name: str
    restart_policy: str = ""
    ports: list[Port] | None = None
    liveness_probe: Handler | None = None
    readiness_probe: Handler | None = None
    startup_probe: Handler | None = None
    lifecycle: Lifecycle | None = None


class Named(_Read, frozen=True, kw_only=True):
    """A volume, or a Secret to fetch images with."""

    name: str = ""


class Os(_Read, frozen=True, kw_only=True):
    name: str = ""


class Spec(_Read, frozen=True, kw_only=True):
    containers: list[Container]
    init_containers: list[Container] | None = None
    volumes: list[Named] | None = None
    image_pull_secrets: list[Named] | None = None
    host_network: bool = False
    restart_policy: str = "Always"
    termination_grace_period_seconds: int = 30
    os: Os | None = None


class Metadata(_Read, frozen=True, kw_only=True):
    """`name` is empty for a pod of a ReplicaSet or Job: the API server makes it later, out of `generate_name`."""

    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class Pod(_Read, frozen=True, kw_only=True):
    metadata: Metadata
    spec: Spec

    @property
    def labels(self) -> dict[str, str]:
        return self.metadata.labels or {}

    @property
    def annotations(self) -> dict[str, str]:
        return self.metadata.annotations or {}

    @property
    def placed(self) -> list[tuple[str, Container]]:
        """Each container that serves, with its place in the document, in the order in which Services look for names.

        Ordinary containers come first, then those init containers that keep running (native sidecars).
        """
        ordinary = [(f"/spec/containers/{index}", container) for index, container in enumerate(self.spec.containers)]
        native = [
            (f"/spec/initContainers/{index}", container)
            for index, container in enumerate(self.spec.init_containers or [])
            if container.restart_policy == "Always"
        ]
        return ordinary + native

    @property
    def containers(self) -> list[Container]:
        """All of them, those that only run at the start included."""
        return [*self.spec.containers, *(self.spec.init_containers or [])]


_DECODER = msgspec.json.Decoder(Pod)


def decode(document: bytes | msgspec.Raw) -> Pod:
    """A pod as the API server sends it; msgspec.ValidationError for what cannot be one."""
    return _DECODER.decode(document)


def convert(document: dict[str, Any]) -> Pod:
    """The same from a document that has been decoded."""
    return msgspec.convert(document, Pod)
