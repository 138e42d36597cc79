"""What the chart starts are commands of ours with settings that they take, and a store that lets them in."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from sidecar.cli.main import parser
from sidecar.config.load import load
from sidecar.config.rules import load_rules
from sidecar.config.settings import Settings, units_of
from sidecar.store.acl import User
from tests.helm import rendering, store_users
from tests.helm.rendering import CASES
from tests.support.ports import free_ports
from tests.support.store import StoreServer

Json = dict[str, Any]

SECRETS = {
    "SIDECAR_STORE_URL": "redis://redis:6379",
    "SIDECAR_ARCHIVE_URL": "postgresql://sidecar@postgresql/sidecar",
    "SIDECAR_ADMIN_KEY": "ck_live_0123456789abcdef",
    "KEY": "the-provider's-key",
}


def containers(case: str) -> Iterator[Json]:
    """Those of our image."""
    for each in rendering.objects(case):
        if each["kind"] == "Deployment":
            yield from each["spec"]["template"]["spec"]["containers"]


def settings_of(container: Json, case: str, tmp_path: Path) -> Settings:
    """As the process reads them; ConfigError with all that it would not take."""
    environ: dict[str, str] = {}
    for source in container.get("envFrom", []):
        environ |= rendering.one(case, "ConfigMap", source["configMapRef"]["name"])["data"]
    for variable in container["env"]:
        environ[variable["name"]] = variable.get("value") or SECRETS[variable["name"]]
    if "SIDECAR_CONFIG" in environ:
        file = tmp_path / "sidecar.yaml"
        (settings,) = [each for each in rendering.objects(case) if "sidecar.yaml" in each.get("data", {})]
        file.write_text(settings["data"]["sidecar.yaml"])
        environ["SIDECAR_CONFIG"] = str(file)
    return load(environ=environ).settings


@pytest.mark.parametrize("case", CASES)
def test_every_container_runs_a_command_with_settings_that_it_takes(case: str, tmp_path: Path) -> None:
    for container in containers(case):
        assert callable(parser().parse_args(container["args"]).run)
        settings = settings_of(container, case, tmp_path)
        ports = {port["containerPort"] for port in container["ports"]}
        listens = {
            "control": [settings.control.listen],
            "proxy": [settings.proxy.listen, settings.proxy.admin_listen],
            "injector": [settings.injector.listen, settings.injector.metrics_listen],
        }[container["args"][0]]
        assert {int(listen.rpartition(":")[2]) for listen in listens} == ports


def test_settings_reach_processes_by_their_names(tmp_path: Path) -> None:
    (control,) = [each for each in containers("full") if each["name"] == "control"]
    settings = settings_of(control, "full", tmp_path)
    assert settings.timeouts.total_s == 120
    assert settings.proxy.via is False
    assert set(settings.units) == {"credits", "tokens"}


def test_what_pods_shall_get_reaches_the_injector(tmp_path: Path) -> None:
    (injector,) = [each for each in containers("full") if each["name"] == "injector"]
    got = settings_of(injector, "full", tmp_path).injector
    values = rendering.case_values("full")
    assert got.image == f"{values['image']['repository']}@{values['image']['digest']}"
    assert (got.mode, got.strict, got.shadow, got.shutdown_s) == ("native", "deny", True, 60)
    assert (got.cpu_request, got.cpu_limit, got.memory_request, got.memory_limit) == ("", "1", "128Mi", "")
    assert got.kubernetes_version == "1.33.4-gke.100"
    assert got.image_pull_policy == "Always"


@pytest.mark.parametrize("case", [case for case in CASES if "files" in rendering.case_values(case).get("rules", {})])
def test_rules_of_a_config_map_load(case: str, tmp_path: Path) -> None:
    data = rendering.one(case, "ConfigMap", "demo-sidecar-rules")["data"]
    for name, text in data.items():
        (tmp_path / name).write_text(text)
        assert yaml.safe_load(text)["version"] == 1
    load_rules([tmp_path], units_of(Settings()))


def test_rules_settings_and_the_address_are_the_same_in_the_namespaces_of_pods() -> None:
    for namespace in rendering.case_values("full")["injection"]["namespaces"]:
        for name, own in (("rules", "demo-sidecar-rules"), ("settings", "demo-sidecar-settings")):
            there = rendering.one("full", "ConfigMap", f"entitlement-sidecar-{name}", namespace)
            assert there["data"] == rendering.one("full", "ConfigMap", own)["data"]


def test_pods_and_control_plane_have_users_of_their_own_in_the_bundled_store() -> None:
    pods = rendering.one("bundled-store", "Secret", "entitlement-sidecar-store", "shop")["data"]
    own = rendering.one("bundled-store", "Secret", "demo-sidecar-store")["data"]
    assert pods["url"] == own["proxyUrl"] != own["url"]


@pytest.mark.parametrize("user", list(User))
def test_users_of_the_bundled_store_are_those_of_the_command(user: User) -> None:
    assert store_users.file(user).read_text() == store_users.rules(user), "run python -m tests.helm"


def test_the_bundled_store_lets_both_users_in_and_nobody_else(tmp_path: Path) -> None:
    """With the arguments and the file of the chart, on a real server."""
    template = rendering.one("bundled-store", "StatefulSet", "demo-sidecar-store")["spec"]["template"]
    (container,) = template["spec"]["containers"]
    secret = rendering.one("bundled-store", "Secret", "demo-sidecar-store")["data"]
    users = tmp_path / "users.acl"
    users.write_bytes(base64.b64decode(secret["users.acl"]))
    places = {"/data": str(tmp_path), "/etc/valkey/users.acl": str(users)}
    arguments = [places.get(argument, argument) for argument in container["args"]]
    server = StoreServer(*arguments, port=free_ports(1)[0])
    server.start()
    try:
        for name in ("url", "proxyUrl"):
            url = base64.b64decode(secret[name]).decode().partition("@")[0] + f"@127.0.0.1:{server.port}"
            with redis.Redis.from_url(url) as client:
                assert client.hmget(f"sidecar:{{1}}:default/live:customer:{name}", ["state"]) == [None]
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.flushall()
        with server.client() as stranger, pytest.raises(redis.AuthenticationError):
            stranger.get("sidecar:any")
    finally:
        server.remove()
