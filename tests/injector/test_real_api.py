"""Opt-in: against a real API server, see `real_api`. What only one can show.

It accepts what we patch and fills in the rest, asks with the JSON that we expect, prints our warnings, makes no
pod when nobody answers, and takes the chart twice. Kubernetes' documents and the tests beside this one say the same.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.injector.cluster import inside
from sidecar.injector.watch import Watch
from sidecar.wiring.injector import injecting
from tests.helm import rendering
from tests.injector.authority import Files, authority
from tests.injector.conftest import settings_for
from tests.injector.golden import given
from tests.injector.real_api import RealApi, is_here, real_api

Json = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not is_here(), reason="needs KUBE_APISERVER=…/kube-apiserver, etcd beside it, kubectl"
)

NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "shop", "labels": {"entitlement-sidecar.io/injection": "enabled"}},
}


TOLD = {"hooks": "grpc (9000)", "unnamed_port": "has no name", "several_containers": "second of its name"}


def webhook(port: int) -> Json:
    """The chart's own, at an address that an API server outside of a cluster's network reaches."""
    found: Json = next(
        each
        for each in rendering.objects_of(rendering.rendered("minimal"))
        if each["kind"] == "MutatingWebhookConfiguration"
    )
    found["webhooks"][0]["clientConfig"] = {
        "url": f"https://127.0.0.1:{port}/inject",
        "caBundle": base64.b64encode(authority().cert_pem.bytes()).decode(),
    }
    return found


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApi]:
    with real_api(tmp_path_factory.mktemp("api")) as api:
        api.succeeds("apply", "-f", "-", given=NAMESPACE)
        yield api


@pytest.fixture
async def injector(api: RealApi, tmp_path: Path) -> AsyncIterator[None]:
    files = Files.of(tmp_path)
    files.write()
    major, minor = api.version()
    async with injecting(settings_for(files, kubernetes_version=f"{major}.{minor}")) as parts:
        await asyncio.to_thread(api.succeeds, "apply", "-f", "-", given=webhook(parts.port))
        yield
    await asyncio.to_thread(api.succeeds, "delete", "mutatingwebhookconfigurations", "--all")


async def create(api: RealApi, name: str, *options: str) -> tuple[int, str, Json]:
    """Exit code, what was said, and the pod as it is now."""
    document = {"apiVersion": "v1", "kind": "Pod"} | given(name).document
    command = ["create", "--namespace", "shop", "-f", "-", "-o", "json", *options]
    ran = await asyncio.to_thread(api.kubectl, *command, given=document)
    return ran.returncode, ran.stderr, json.loads(ran.stdout) if ran.returncode == 0 else {}


def containers(pod: Json) -> list[str]:
    spec = pod["spec"]
    return sorted(each["name"] for each in (*spec["containers"], *spec.get("initContainers", [])))


@pytest.mark.usefixtures("injector")
@pytest.mark.parametrize("name", ["deployment", "hooks", "several_containers", "several_ports", "unnamed_port"])
async def test_a_pod_is_injected_as_the_server_takes_it(api: RealApi, name: str) -> None:
    code, said, pod = await create(api, name)
    assert code == 0, said
    assert "entitlement-sidecar" in containers(pod)
    assert TOLD.get(name, "") in said


@pytest.mark.usefixtures("injector")
async def test_a_dry_run_injects_too_and_keeps_nothing(api: RealApi) -> None:
    code, said, pod = await create(api, "native", "--dry-run=server")
    assert code == 0, said
    assert "entitlement-sidecar" in containers(pod)
    assert pod["metadata"]["name"] not in await asyncio.to_thread(
        api.succeeds, "get", "pods", "-n", "shop", "-o", "name"
    )


@pytest.mark.usefixtures("injector")
async def test_opted_out_and_denied(api: RealApi) -> None:
    code, said, pod = await create(api, "opted_out", "--dry-run=server")
    assert (code, containers(pod)) == (0, ["app"])
    code, said, pod = await create(api, "no_port")
    assert (code, containers(pod)) == (0, ["app"])
    assert "No container has a TCP port named http" in said
    code, said, _ = await create(api, "host_port")
    assert code != 0
    assert "which leads around the sidecar" in said


async def test_while_no_injector_answers_no_pod_is_made(api: RealApi) -> None:
    await asyncio.to_thread(api.succeeds, "apply", "-f", "-", given=webhook(1))
    try:
        code, said, _ = await create(api, "short_grace")
        assert code != 0
        assert "inject.entitlement-sidecar.io" in said
        # Whose label is not in the webhook's scope does not need it.
        assert (await create(api, "opted_out"))[0] == 0
    finally:
        await asyncio.to_thread(api.succeeds, "delete", "mutatingwebhookconfigurations", "--all")


async def test_the_watch_sees_what_came_while_the_webhook_was_away(api: RealApi) -> None:
    assert (await create(api, "bare_settings"))[0] == 0
    environ = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port)}
    async with inside(environ, api.folder) as cluster:
        watch = Watch(cluster, interval_s=1, now_s=lambda: 1_800_000_000.0)
        await watch.look()
    assert watch.pods["missing"] >= 1
    events = json.loads(await asyncio.to_thread(api.succeeds, "get", "events", "-n", "shop", "-o", "json"))
    assert "SidecarMissing" in {event["reason"] for event in events["items"]}


def test_the_chart_installs_and_upgrades(api: RealApi) -> None:
    _, minor = api.version()
    objects = rendering.objects_of(rendering.rendered("minimal"))
    items = [each for each in objects if minor >= 30 or not each["kind"].startswith("ValidatingAdmissionPolicy")]
    for name in {each["metadata"]["namespace"] for each in items if "namespace" in each["metadata"]} - {"shop"}:
        api.succeeds("create", "namespace", name)
    everything = {"apiVersion": "v1", "kind": "List", "items": items}
    assert "created" in api.succeeds("apply", "-f", "-", given=everything)
    assert "created" not in api.succeeds("apply", "-f", "-", given=everything)
    api.succeeds("delete", "mutatingwebhookconfigurations", "--all")
