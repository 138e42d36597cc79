"""What is asked of the Kubernetes API, over TLS, with the token that the pod has at that moment."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web

from sidecar.domain.errors import StartupError
from sidecar.injector.cluster import Unreachable, inside
from tests.injector.api import Api, api_server, pod, status


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with api_server(tmp_path) as api:
        yield api


async def test_lists_are_read_to_their_end(api: Api) -> None:
    api.page = 2
    api.namespaces = [f"team-{number}" for number in range(5)]
    api.pods = {"team-1": [pod(f"pod-{number}", "app") for number in range(3)]}
    async with api.inside() as cluster:
        assert await cluster.namespaces() == api.namespaces
        assert [each.metadata.name for each in await cluster.pods("team-1")] == ["pod-0", "pod-1", "pod-2"]
        assert await cluster.pods("team-2") == []


async def test_pods_that_end_are_not_seen(api: Api) -> None:
    api.pods = {
        "shop": [
            pod("done", "app", phase="Succeeded"),
            pod("failed", "app", phase="Failed"),
            pod("going", "app", deletionTimestamp="2026-11-23T09:00:00Z"),
            pod("there", "app", "logs", running=("app",)),
        ]
    }
    async with api.inside() as cluster:
        (there,) = await cluster.pods("shop")
    assert (there.metadata.name, there.containers, there.running) == ("there", ["app", "logs"], {"app"})


async def test_the_token_is_read_for_each_call(api: Api) -> None:
    async with api.inside() as cluster:
        assert await cluster.version() == "v1.33.1"
        (api.folder / "token").write_text("another")
        assert await cluster.version() == "v1.33.1"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda: status(403, "namespaces is forbidden"), "GET /version: status 403, namespaces is forbidden"),
        (lambda: web.Response(status=502, text="<html>"), "GET /version: status 502"),
        (lambda: web.Response(text="nonsense"), "GET /version: "),
    ],
    ids=["forbidden", "no JSON", "another answer"],
)
async def test_other_answers_are_told(api: Api, answer: Callable[[], web.Response], says: str) -> None:
    api.answers = answer
    async with api.inside() as cluster:
        with pytest.raises(Unreachable) as raised:
            await cluster.version()
    assert str(raised.value).startswith(says)


async def test_nobody_there(api: Api) -> None:
    async with inside(
        {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}, api.folder
    ) as cluster:
        with pytest.raises(Unreachable, match=r"^GET /version: .*127\.0\.0\.1"):
            await cluster.version()


async def test_an_event_that_is_there_is_no_failure(api: Api) -> None:
    event = {"metadata": {"name": "one", "namespace": "shop"}}
    async with api.inside() as cluster:
        await cluster.keep_event("shop", event)
        await cluster.keep_event("shop", event)
    assert list(api.events) == ["one"]


async def test_outside_of_a_cluster(tmp_path: Path, api: Api) -> None:
    with pytest.raises(StartupError, match=r"^injector.watch needs the token of a service account"):
        async with inside({}, tmp_path / "nothing"):
            pass
    with pytest.raises(StartupError, match="KUBERNETES_SERVICE_HOST is not set"):
        async with inside({}, api.folder):
            pass
