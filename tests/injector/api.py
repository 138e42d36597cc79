"""A small API server over TLS: namespaces, pods and events, as the watch asks for them."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from sidecar.injector.cluster import Cluster, inside
from tests.injector.authority import Files, authority

TOKEN = "a-token-of-the-service-account"

Json = dict[str, Any]


class Api:
    """What the cluster has. `pods` goes by namespace; `page` is how many items an answer has at most."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.namespaces: list[str] = []
        self.pods: dict[str, list[Json]] = {}
        self.events: dict[str, Json] = {}
        self.version = "v1.33.1"
        self.page = 500
        self.answers: Callable[[], web.Response] | None = None
        """What is answered to everything, instead of what was asked for."""
        self.asked: list[str] = []

    def inside(self) -> AbstractAsyncContextManager[Cluster]:
        """This cluster as a process in one of its pods finds it."""
        environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.port)}
        return inside(environ, self.folder)

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if request.headers.get("Authorization") != f"Bearer {(self.folder / 'token').read_text().strip()}":
            return status(401, "Unauthorized")
        return self.answers() if self.answers else await handler(request)

    async def tell_version(self, _: web.Request) -> web.Response:
        return web.json_response({"major": "1", "minor": "33", "gitVersion": self.version})

    async def list_namespaces(self, request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == "entitlement-sidecar.io/injection=enabled"
        return self._list(request, [{"metadata": {"name": name, "uid": name}} for name in self.namespaces])

    async def list_pods(self, request: web.Request) -> web.Response:
        assert request.query["labelSelector"] == "entitlement-sidecar.io/inject!=false"
        return self._list(request, self.pods.get(request.match_info["namespace"], []))

    async def keep_event(self, request: web.Request) -> web.Response:
        event = await request.json()
        assert event["metadata"]["namespace"] == request.match_info["namespace"]
        if event["metadata"]["name"] in self.events:
            return status(409, "already exists")
        self.events[event["metadata"]["name"]] = event
        return web.json_response(event, status=201)

    def _list(self, request: web.Request, items: list[Json]) -> web.Response:
        first = int(request.query.get("continue", 0))
        rest = {"continue": str(first + self.page)} if first + self.page < len(items) else {}
        return web.json_response({"kind": "List", "items": items[first : first + self.page], "metadata": rest})


def status(code: int, message: str) -> web.Response:
    return web.json_response({"kind": "Status", "message": message, "code": code}, status=code)


def away() -> web.Response:
    return status(500, "etcd is away")


@asynccontextmanager
async def api_server(folder: Path) -> AsyncIterator[Api]:
    """Serve; what a pod has of its service account stands in `folder`."""
    api = Api(folder)
    authority().cert_pem.write_to_path(str(folder / "ca.crt"))
    (folder / "token").write_text(f"{TOKEN}\n")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    Files.of(folder).write().configure_cert(context)
    app = web.Application(middlewares=[api.guard])
    app.router.add_get("/version", api.tell_version)
    app.router.add_get("/api/v1/namespaces", api.list_namespaces)
    app.router.add_get("/api/v1/namespaces/{namespace}/pods", api.list_pods)
    app.router.add_post("/api/v1/namespaces/{namespace}/events", api.keep_event)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    api.port = runner.addresses[0][1]
    try:
        yield api
    finally:
        await runner.cleanup()


def pod(
    name: str, *containers: str, running: tuple[str, ...] = (), phase: str = "Running", **metadata: object
) -> Json:
    """One whose containers of these names run."""
    statuses = [
        {"name": each, "ready": each in running, "state": {"running": {}} if each in running else {"waiting": {}}}
        for each in containers
    ]
    return {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}"} | metadata,
        "spec": {"containers": [{"name": each, "image": "x"} for each in containers]},
        "status": {"phase": phase, "containerStatuses": statuses},
    }
