"""A pod's network for real: an application on loopback, its sidecar before it, and a client that has only the wire.

Namespaces stand for pods, where this machine allows them.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from sidecar.config.settings import Injector
from sidecar.injector import pod as pods
from sidecar.injector.container import containers
from sidecar.injector.decide import decide
from tests.e2e.house import CREDIT, RULES, House
from tests.support.namespaces import POD_ADDRESS, Namespaces, process_in, wired
from tests.support.until import until_async

pytestmark = pytest.mark.asyncio(loop_scope="session")

APPLICATION = """
import http.server
class Application(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"served")
http.server.ThreadingHTTPServer(("127.0.0.1", 9000), Application).serve_forever()
"""
CLIENT = """
import http.client, json, sys
port, path, key = sys.argv[2:5]
connection = http.client.HTTPConnection(sys.argv[1], int(port), timeout=20)
try:
    connection.request("GET", path, headers={"authorization": "Bearer " + key})
    answer = connection.getresponse()
    said = {"status": answer.status, "body": answer.read().decode()}
except OSError as error:
    said = {"status": 0, "body": type(error).__name__}
print(json.dumps(said))
"""


POD = {"metadata": {}, "spec": {"containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 9000}]}]}}


def injected() -> dict[str, str]:
    """The variables of the sidecar that the injector puts into the application's pod."""
    settings = Injector(image="sidecar:1", mode="native")
    plan = decide(pods.convert(POD), settings).plan
    assert plan is not None
    (container,) = containers(plan, settings)
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


class Said(msgspec.Struct, frozen=True):
    status: int
    body: str
    """Without a status: what kept the client from being answered."""


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Namespaces]:
    with wired() as names:
        if names is None:
            pytest.skip("this machine does not let us make network namespaces")
        yield names


async def ask(namespace: str, address: str, port: int, path: str, key: str = "") -> Said:
    async with process_in(namespace, sys.executable, "-I", "-c", CLIENT, address, str(port), path, key) as client:
        out, _ = await client.communicate()
    return msgspec.convert(json.loads(out), Said)


async def test_who_is_outside_of_the_pod_reaches_the_application_through_its_sidecar_only(
    house: House, namespaces: Namespaces, tmp_path: Path
) -> None:
    buyer, poor = await house.control.buyer(2 * CREDIT), await house.control.buyer(0)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")} | injected()
    # What the pod's volumes and its Secret have.
    environment |= {
        "SIDECAR_STORE_URL": house.store.url,
        "SIDECAR_RULES_PATHS": str(RULES),
        "SIDECAR_DATA_DIR": str(tmp_path),
    }
    pod, client = namespaces.pod, namespaces.client
    async with (
        process_in(pod, sys.executable, "-I", "-c", APPLICATION),
        process_in(pod, sys.executable, "-m", "sidecar", "proxy", environment=environment) as sidecar,
    ):

        async def both_are_up() -> bool:
            own = await ask(pod, "127.0.0.1", 9000, "/")
            return own.status == 200 and (await ask(client, POD_ADDRESS, 15081, "/readyz")).status == 200

        await until_async(both_are_up, "the pod")
        served, refused, unknown, around = await asyncio.gather(
            ask(client, POD_ADDRESS, 15080, "/fixed/a", buyer.secret),
            ask(client, POD_ADDRESS, 15080, "/fixed/a", poor.secret),
            ask(client, POD_ADDRESS, 15080, "/fixed/a", "sk_live_somebody"),
            ask(client, POD_ADDRESS, 9000, "/fixed/a", buyer.secret),
        )
        assert served == Said(200, "served")
        assert (refused.status, unknown.status) == (402, 401)
        assert around == Said(0, "ConnectionRefusedError")
        sidecar.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(sidecar.wait(), 20) == 0
        # Without its sidecar nobody reaches it at all.
        assert (await ask(client, POD_ADDRESS, 15080, "/fixed/a", buyer.secret)).status == 0
    await house.settled(buyer, spent=CREDIT)
