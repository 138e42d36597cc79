"""The service itself: alive, ready, its metrics, its own description. Served without a key."""

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from sidecar.control.endpoint import Call, Given, endpoint
from sidecar.control.errors import NotReady
from sidecar.control.schema import Health, Nothing


async def show_health(call: Call[Nothing, Nothing]) -> Given[Health]:  # noqa: ARG001  (all works are called alike)
    """Say that the process is alive."""
    return Given(Health(status="ok"))


async def show_readiness(call: Call[Nothing, Nothing]) -> Given[Health]:
    """Say whether the process can serve requests, and if not, why not."""
    if (why_not := call.parts.ready()) is not None:
        raise NotReady(why_not)
    return Given(Health(status="ready"))


async def show_metrics(call: Call[Nothing, Nothing]) -> Given[bytes]:
    """Give the metrics in Prometheus' text format."""
    return Given(generate_latest(call.parts.registry))


async def show_openapi(call: Call[Nothing, Nothing]) -> Given[bytes]:
    """Give this document."""
    return Given(call.parts.openapi)


async def show_reference(call: Call[Nothing, Nothing]) -> Given[bytes]:
    """Give this document as a page for people."""
    return Given(call.parts.reference)


ENDPOINTS = (
    endpoint("GET", "/healthz", show_health, {200: "The process is alive."}, scope=None),
    endpoint("GET", "/readyz", show_readiness, {200: "The process can serve."}, scope=None),
    endpoint("GET", "/metrics", show_metrics, {200: "The metrics."}, scope=None, media_types=(CONTENT_TYPE_LATEST,)),
    endpoint(
        "GET",
        "/v1/reference",
        show_reference,
        {200: "A page."},
        scope=None,
        media_types=("text/html; charset=utf-8",),
    ),
    endpoint("GET", "/v1/openapi.json", show_openapi, {200: "An OpenAPI 3.1 document."}, scope=None),
)
