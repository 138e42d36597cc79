"""What the chart starts are commands of ours with settings that they take, and a store that lets them in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.cli.main import parser
from sidecar.config.load import load
from sidecar.config.rules import load_rules
from sidecar.config.settings import Settings, units_of
from tests.helm import rendering
from tests.helm.rendering import CASES

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
        file.write_text(rendering.one(case, "ConfigMap", "demo-sidecar-injector")["data"]["sidecar.yaml"])
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
    assert pods["url"] == own["sidecarUrl"] != own["url"]
