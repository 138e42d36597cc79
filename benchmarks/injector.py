"""``python -m benchmarks.injector``: reviews per second of one injector on one core, over TLS, and their times.

Reviews come at fixed times whether or not earlier ones have been answered, and a review's time counts from when it
should have been sent: who is slow cannot slow the load down, so the 99th percentile is an honest one. Then as many as
it can, from clients that wait for each answer. Of several windows the one counts in which others used the machine
least. Exit 1 when the bars are not met.
"""

import argparse
import asyncio
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import trustme

from benchmarks import machine
from benchmarks.servers import Server

RATE_PER_S = 200
P99_BAR_MS = 20.0
CONNECTIONS = 8
WARM_UP = 200


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One load: answers, those that were none, and each one's time."""

    name: str
    per_s: float
    failed: int
    times_ms: list[float]
    cpu_percent: float
    others_percent: float
    """CPU time of all other programs on the machine, of one core."""

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.times_ms, n=100)[98]

    @property
    def met(self) -> bool:
        return self.failed == 0 and self.per_s >= 0.99 * RATE_PER_S and self.p99_ms < P99_BAR_MS

    def __str__(self) -> str:
        return (
            f"{self.name:<28} {self.per_s:7.0f}/s   p50 {statistics.median(self.times_ms):6.2f} ms   "
            f"p99 {self.p99_ms:6.2f} ms   max {max(self.times_ms):6.2f} ms   CPU {self.cpu_percent:3.0f} %   "
            f"others {self.others_percent:3.0f} %   failed {self.failed}"
        )


def review() -> bytes:
    """A pod of a Deployment with three containers, as an API server sends it: some 9 kB."""
    variables = [{"name": f"SETTING_{number}", "value": "x" * 40} for number in range(20)]
    containers = [
        {
            "name": name,
            "image": f"registry.example.com/{name}@sha256:{'0' * 64}",
            "ports": [{"name": "http" if name == "app" else name, "containerPort": port, "protocol": "TCP"}],
            "env": variables,
            "livenessProbe": {"httpGet": {"path": "/live", "port": "http", "scheme": "HTTP"}, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}},
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            "volumeMounts": [{"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/x"}],
            "terminationMessagePath": "/dev/termination-log",
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        for name, port in (("app", 8080), ("metrics", 9090), ("logs", 9091))
    ]
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "web-7d4b9c-", "labels": {"app": "web", "pod-template-hash": "7d4b9c"}},
        "spec": {
            "containers": containers,
            "volumes": [{"name": "kube-api-access-x", "projected": {"sources": [{"configMap": {"name": "ca"}}]}}],
            "tolerations": [{"key": f"node.kubernetes.io/{number}", "operator": "Exists"} for number in range(4)],
        },
    }
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "shop",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
        "object": pod,
        "dryRun": False,
    }
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


class Load:
    """Clients of the injector at `url`, on connections that last as an API server's do."""

    def __init__(self, session: aiohttp.ClientSession, url: str, pid: int) -> None:
        self._session = session
        self._url = url
        self._pid = pid
        self._body = review()
        self._failed = 0
        self._times_ms: list[float] = []

    async def ask(self, since_s: float) -> None:
        """One review, timed from `since_s`."""
        headers = {"Content-Type": "application/json"}
        try:
            async with self._session.post(self._url, data=self._body, headers=headers) as got:
                answer = await got.read()
                self._failed += not (got.status == 200 and b'"patchType":"JSONPatch"' in answer)
        except aiohttp.ClientError:
            self._failed += 1
        self._times_ms.append((time.perf_counter() - since_s) * 1000)

    async def at_rate(self, per_s: float, seconds: float) -> Result:
        begun = self._begin()
        started_s = begun[0]
        async with asyncio.TaskGroup() as group:
            for number in range(int(per_s * seconds)):
                due_s = started_s + number / per_s
                await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
                group.create_task(self.ask(due_s))
        return self._result(f"{per_s:g} reviews a second", *begun)

    async def flat_out(self, seconds: float) -> Result:
        begun = self._begin()

        async def client() -> None:
            while (now_s := time.perf_counter()) < begun[0] + seconds:
                await self.ask(now_s)

        async with asyncio.TaskGroup() as group:
            for _ in range(CONNECTIONS):
                group.create_task(client())
        return self._result("as many as it can", *begun)

    def _begin(self) -> tuple[float, float, float]:
        self._failed, self._times_ms = 0, []
        others_s, cpu_s = machine.foreign_cpu_s(), machine.cpu_time(self._pid).total_s
        return time.perf_counter(), cpu_s, others_s

    def _result(self, name: str, started_s: float, cpu_s: float, others_s: float) -> Result:
        took_s = time.perf_counter() - started_s
        return Result(
            name=name,
            per_s=len(self._times_ms) / took_s,
            failed=self._failed,
            times_ms=self._times_ms,
            cpu_percent=(machine.cpu_time(self._pid).total_s - cpu_s) / took_s * 100,
            others_percent=(machine.foreign_cpu_s() - others_s) / took_s * 100,
        )


async def measure(server: Server, authority: trustme.CA, seconds: float, windows: int) -> tuple[Result, Result]:
    """The steady load and the greatest, each in its quietest window."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    connector = aiohttp.TCPConnector(ssl=context, limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector) as session:
        load = Load(session, f"https://127.0.0.1:{server.port}/inject", server.pid)
        for _ in range(WARM_UP):
            await load.ask(time.perf_counter())
        steady = [await load.at_rate(RATE_PER_S, seconds) for _ in range(windows)]
        most = [await load.flat_out(seconds) for _ in range(windows)]
        return quietest(steady), quietest(most)


def quietest(windows: list[Result]) -> Result:
    return min(windows, key=lambda window: window.others_percent)


def injector(folder: Path, authority: trustme.CA, core: int) -> Server:
    """The product as it is shipped, its log included."""
    leaf = authority.issue_cert("127.0.0.1")
    cert, key = folder / "tls.crt", folder / "tls.key"
    leaf.cert_chain_pems[0].write_to_path(str(cert))
    leaf.private_key_pem.write_to_path(str(key))
    port = machine.free_port()
    listen = ["--listen", f"127.0.0.1:{port}", "--tls-cert", str(cert), "--tls-key", str(key)]
    environment = {
        "SIDECAR_INJECTOR_IMAGE": "registry.example.com/sidecar:1",
        "SIDECAR_INJECTOR_METRICS_LISTEN": "127.0.0.1:0",
    }
    command = [sys.executable, "-m", "sidecar", "injector", *listen]
    return Server("injector", command, port, core=core, folder=folder, environment=environment)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.injector", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one window")
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--core", type=int, default=0, help="the injector's")
    parser.add_argument("--other-core", type=int, default=1, help="the load's")
    options = parser.parse_args(arguments)
    machine.keep_off(options.core, stay_on=options.other_core)
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        injector(Path(folder), authority, options.core) as server,
    ):
        steady, most = asyncio.run(measure(server, authority, options.seconds, options.windows))
        memory_mb = machine.resident_mb(server.pid)
    print(f"{steady}\n{most}\n{len(review())} bytes a review; {memory_mb:.0f} MB resident")
    print(f"{'met' if steady.met else 'NOT met'}: {RATE_PER_S} reviews a second, p99 below {P99_BAR_MS:g} ms")
    sys.exit(not steady.met)


if __name__ == "__main__":
    main()
