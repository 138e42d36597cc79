"""The little that we ask of the Kubernetes API: lists of namespaces and pods, the version, and an event to be kept.

The process must run in a pod with a service account's token, which is read anew for each call since it is replaced
from time to time. Nothing is repeated here: whoever asks looks again.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import msgspec

from sidecar.config.values import Endpoint
from sidecar.domain.errors import StartupError
from sidecar.injector.annotations import NAMESPACE_LABEL, OPT_OUT_LABEL

ACCOUNT_DIR: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CALL_S: Final = 20.0

Answer = TypeVar("Answer")


class Unreachable(Exception):
    """The API server did not answer as it should; the text says how."""


class _Seen(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Part of what an API server tells; the rest is not decoded."""


class Metadata(_Seen, frozen=True, kw_only=True):
    name: str
    namespace: str = ""
    uid: str = ""
    deletion_timestamp: str | None = None


class _Named(_Seen, frozen=True, kw_only=True):
    metadata: Metadata


class _Container(_Seen, frozen=True, kw_only=True):
    name: str


class _Spec(_Seen, frozen=True, kw_only=True):
    containers: list[_Container]
    init_containers: list[_Container] | None = None


class _ContainerStatus(_Seen, frozen=True, kw_only=True):
    name: str
    state: dict[str, Any] = {}


class _Status(_Seen, frozen=True, kw_only=True):
    phase: str = ""
    container_statuses: list[_ContainerStatus] | None = None
    init_container_statuses: list[_ContainerStatus] | None = None


class RunningPod(_Seen, frozen=True, kw_only=True):
    """A pod and how its containers fare."""

    metadata: Metadata
    spec: _Spec
    status: _Status = _Status()

    @property
    def ended(self) -> bool:
        return self.metadata.deletion_timestamp is not None or self.status.phase in {"Succeeded", "Failed"}

    @property
    def containers(self) -> list[str]:
        return [each.name for each in (*self.spec.containers, *(self.spec.init_containers or []))]

    @property
    def running(self) -> set[str]:
        """Names of the containers that run now."""
        statuses = (*(self.status.container_statuses or []), *(self.status.init_container_statuses or []))
        return {each.name for each in statuses if "running" in each.state}


class _Page(_Seen, frozen=True, kw_only=True):
    """The metadata of a list."""

    continue_: str = msgspec.field(name="continue", default="")


class _Namespaces(_Seen, frozen=True, kw_only=True):
    items: list[_Named]
    metadata: _Page = _Page()


class _Pods(_Seen, frozen=True, kw_only=True):
    items: list[RunningPod]
    metadata: _Page = _Page()


class _Version(_Seen, frozen=True, kw_only=True):
    git_version: str


class Cluster:
    """The API server at `url`, by its own authority and with the token in `token_file`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token_file: Path) -> None:
        self._session = session
        self._url = url
        self._token_file = token_file

    async def version(self) -> str:
        """As ``v1.32.4``."""
        return (await self._ask("GET", "/version", _Version)).git_version

    async def namespaces(self) -> list[str]:
        """Those in scope."""
        names: list[str] = []
        selector = {"labelSelector": f"{NAMESPACE_LABEL}=enabled", "limit": "500"}
        while True:
            page = await self._ask("GET", "/api/v1/namespaces", _Namespaces, selector)
            names += [each.metadata.name for each in page.items if each.metadata.deletion_timestamp is None]
            if not page.metadata.continue_:
                return names
            selector["continue"] = page.metadata.continue_

    async def pods(self, namespace: str) -> list[RunningPod]:
        """Those of a namespace that are in scope and have not ended."""
        pods: list[RunningPod] = []
        selector = {"labelSelector": f"{OPT_OUT_LABEL}!=false", "limit": "500"}
        while True:
            page = await self._ask("GET", f"/api/v1/namespaces/{namespace}/pods", _Pods, selector)
            pods += [pod for pod in page.items if not pod.ended]
            if not page.metadata.continue_:
                return pods
            selector["continue"] = page.metadata.continue_

    async def keep_event(self, namespace: str, event: dict[str, Any]) -> None:
        """Keep an event; one of the same name is there already when another process was faster."""
        await self._ask("POST", f"/api/v1/namespaces/{namespace}/events", dict[str, Any], body=event, there=409)

    async def _ask(
        self,
        method: str,
        path: str,
        kind: type[Answer],
        query: Mapping[str, str] | None = None,
        *,
        body: object = None,
        there: int = 0,
    ) -> Answer:
        """What the API server answers with 2xx, or with the status `there`; Unreachable for anything else."""
        try:
            headers = {"Authorization": f"Bearer {self._token_file.read_text().strip()}"}
            async with self._session.request(
                method, self._url + path, params=query, json=body, headers=headers
            ) as got:
                text = await got.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"{method} {path}: {str(error) or 'no answer in time'}") from error
        if not (200 <= got.status < 300 or got.status == there):
            raise Unreachable(f"{method} {path}: status {got.status}{_said(text)}")
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.MsgspecError as error:
            raise Unreachable(f"{method} {path}: {error}") from error


@asynccontextmanager
async def inside(environ: Mapping[str, str], account_dir: Path = ACCOUNT_DIR) -> AsyncIterator[Cluster]:
    """The cluster that this process runs in; StartupError when it runs in none, or has no token."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
    authority = account_dir / "ca.crt"
    try:
        context = ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise StartupError(
            f"injector.watch needs the token of a service account, but {authority} cannot be read: {error.strerror}."
        ) from error
    if not host:
        raise StartupError("injector.watch needs a cluster around it, but KUBERNETES_SERVICE_HOST is not set.")
    timeout = aiohttp.ClientTimeout(total=CALL_S)
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Cluster(session, f"https://{Endpoint(host, int(port))}", account_dir / "token")
    # Let connections over TLS say goodbye.
    await asyncio.sleep(0)


def _said(text: bytes) -> str:
    """The sentence in the API server's Status, if it is one."""
    try:
        message = msgspec.json.decode(text, type=dict[str, Any]).get("message")
    except msgspec.MsgspecError:
        return ""
    return f", {message[:200]}" if isinstance(message, str) else ""
