"""Pods in scope without a sidecar that runs: counted, told once, and told by one of several processes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from sidecar.injector.cluster import RunningPod, Unreachable
from sidecar.injector.watch import State, Watch, state
from tests.injector.api import Api, Json, api_server, away, pod
from tests.support.until import until

OURS = "entitlement-sidecar"
NOW_S = 1_800_000_000.0


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with api_server(tmp_path) as api:
        api.namespaces = ["shop"]
        yield api


def native(running: bool) -> Json:
    made = pod("a", "app", running=("app",))
    made["spec"]["initContainers"] = [{"name": OURS, "restartPolicy": "Always"}]
    of = {"running": {}} if running else {"terminated": {"exitCode": 1}}
    made["status"]["initContainerStatuses"] = [{"name": OURS, "state": of}]
    return made


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (pod("a", "app", running=("app",)), State.MISSING),
        (pod("a", "app", phase="Pending"), State.MISSING),
        (pod("a", "app", "entitlement-sidecar-proxy", running=("app", "entitlement-sidecar-proxy")), State.MISSING),
        (pod("a", "app", OURS, running=("app", OURS)), State.LIVE),
        (pod("a", "app", OURS, running=("app",)), State.DOWN),
        (pod("a", "app", OURS, phase="Pending"), State.STARTING),
        (pod("a", "app", OURS, f"{OURS}-2", running=("app", OURS)), State.DOWN),
        (native(running=True), State.LIVE),
        (native(running=False), State.DOWN),
        ({"metadata": {"name": "new"}, "spec": {"containers": [{"name": OURS}]}}, State.STARTING),
    ],
)
def test_how_a_sidecar_fares(document: Json, expected: State) -> None:
    assert state(msgspec.convert(document, RunningPod)) is expected


async def test_what_is_missing_is_counted_and_told_once(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    api.pods["shop"] = [
        pod("with", "app", OURS, running=("app", OURS)),
        pod("without", "app", running=("app",)),
        pod("broken", "app", OURS, running=("app",)),
    ]
    async with api.inside() as cluster:
        watch, other = (Watch(cluster, interval_s=1, now_s=lambda: NOW_S) for _ in range(2))
        for each in (watch, watch, other):
            await each.look()
        assert watch.pods == {"live": 1, "starting": 0, "missing": 1, "down": 1}
        assert watch.looked_at_s == NOW_S
        told = {event["involvedObject"]["name"]: event for event in api.events.values()}
        assert {name: event["reason"] for name, event in told.items()} == {
            "without": "SidecarMissing",
            "broken": "SidecarDown",
        }
        assert told["without"]["involvedObject"]["uid"] == "uid-without"
        assert (told["without"]["type"], told["without"]["lastTimestamp"]) == ("Warning", "2027-01-15T08:00:00Z")
        assert (
            sum("pod shop/without: The pod is in scope and has no sidecar" in line for line in caplog.messages) == 2
        )
        assert len(caplog.messages) == 4
        api.pods["shop"] = []
        await watch.look()
        assert watch.pods == dict.fromkeys(("live", "starting", "missing", "down"), 0)


async def test_a_look_that_fails_leaves_what_was_known(api: Api) -> None:
    api.pods["shop"] = [pod("without", "app")]
    async with api.inside() as cluster:
        watch = Watch(cluster, interval_s=1, now_s=lambda: NOW_S)
        await watch.look()
        api.answers = away
        with pytest.raises(Unreachable, match="etcd is away"):
            await watch.look()
        assert watch.pods["missing"] == 1


async def test_it_goes_on_looking(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    async with api.inside() as cluster:
        watch = Watch(cluster, interval_s=0.001, now_s=lambda: NOW_S)
        api.answers = away
        running = asyncio.ensure_future(watch.run())
        await until(lambda: watch.failures_total >= 3, "three failures")
        assert len(caplog.messages) == 1
        api.answers = None
        api.pods["shop"] = [pod("without", "app")]
        await until(lambda: watch.pods["missing"] == 1 and api.events, "the pod to be seen")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
