"""The admission webhook as a whole: what it needs to start, and what it asks the cluster for."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from sidecar.domain.errors import StartupError
from sidecar.wiring.injector import injecting
from tests.injector.api import Api, api_server, away, pod
from tests.injector.authority import Files
from tests.injector.conftest import Webhook, calling, settings_for
from tests.injector.test_server import ask
from tests.support.until import until_async


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    folder = tmp_path / "account"
    folder.mkdir()
    async with api_server(folder) as api:
        yield api


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files.of(tmp_path)
    files.write()
    return files


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": ""}, "No image: name the sidecar's with injector.image, or SIDECAR_INJECTOR_IMAGE."),
        ({"tls_cert_file": ""}, "No certificate: an API server asks over TLS only; name one with --tls-cert and "),
        ({"tls_key_file": ""}, "No certificate: "),
        ({"tls_key_file": "/nowhere"}, "The certificate .* cannot be served: No such file or directory"),
        ({"watch": True}, "injector.watch needs the token of a service account"),
    ],
)
async def test_what_keeps_it_from_starting(files: Files, changes: dict[str, object], says: str) -> None:
    with pytest.raises(StartupError, match=f"^{says}"):
        async with injecting(settings_for(files, **changes)):
            pass


async def test_without_a_watch_the_cluster_is_not_asked(files: Files, api: Api) -> None:
    async with injecting(settings_for(files), api.inside) as parts:
        assert "sidecar_injector_pods" not in str(await Webhook(parts, files).metrics())
    assert api.asked == []


async def test_with_a_watch_pods_are_counted_and_the_version_is_known(
    files: Files, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.namespaces, api.pods = ["shop"], {"shop": [pod("without", "app")]}
    async with injecting(settings_for(files, watch=True), api.inside) as parts, calling() as session:
        webhook = Webhook(parts, files)

        async def seen() -> bool:
            return (await webhook.metrics())['sidecar_injector_pods{state="missing"}'] == 1

        await until_async(seen, "the pod to be counted")
        assert parts.settings.kubernetes_version == "v1.33.1"
        assert b"restartPolicy" in msgspec.json.decode(
            f'"{(await ask(session, webhook, "deployment"))["patch"]}"', type=bytes
        )
    assert not any("cannot be looked for" in line for line in caplog.messages), (
        "the watch ends before its connections"
    )


async def test_a_version_that_is_set_is_not_asked_for(files: Files, api: Api) -> None:
    settings = settings_for(files, watch=True, kubernetes_version="1.30")
    async with injecting(settings, api.inside) as parts:
        assert parts.settings.kubernetes_version == "1.30"
    assert "/version" not in api.asked


async def test_a_version_that_cannot_be_asked_for(files: Files, api: Api) -> None:
    api.answers = away
    with pytest.raises(
        StartupError, match=r"^The cluster's version cannot be asked for: GET /version: status 500, etcd"
    ):
        async with injecting(settings_for(files, watch=True), api.inside):
            pass
