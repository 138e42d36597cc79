"""The library chart's container is the injector's, field by field: rendered in a chart of somebody else."""

import shutil
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from sidecar.config.settings import Injector
from sidecar.injector import container
from sidecar.injector import pod as pods
from sidecar.injector.decide import decide
from tests.helm.reference import CHART

Json = dict[str, Any]

IMAGE = "registry.example.com/entitlement-sidecar:1"
POD = {"spec": {"containers": [{"name": "api", "ports": [{"name": "http", "containerPort": 9000}]}]}, "metadata": {}}

TEMPLATE = """\
container:
  {{- include "sidecar-container.container" .Values.sidecar | nindent 2 }}
volumes:
  {{- include "sidecar-container.volumes" (dict "rulesConfigMap" "prices") | nindent 2 }}
"""


@pytest.fixture
def consumer(tmp_path: Path) -> Path:
    """A chart that depends on the library."""
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "pod.yaml").write_text(TEMPLATE)
    (tmp_path / "values.yaml").write_text("sidecar: {}\n")
    depends = [{"name": "sidecar-container", "version": "0.1.0"}]
    chart = {"apiVersion": "v2", "name": "consumer", "version": "1.0.0", "dependencies": depends}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(chart))
    shutil.copytree(CHART / "charts" / "sidecar-container", tmp_path / "charts" / "sidecar-container")
    return tmp_path


def rendered(consumer: Path, **sidecar: Any) -> Json:
    texts = helm_python.Chart.load(consumer).render({"sidecar": sidecar}, name="a", namespace="b")
    document: Json = yaml.safe_load(texts["consumer/templates/pod.yaml"])
    return document


def by_injector(settings: Injector) -> tuple[Json, list[Json]]:
    plan = decide(pods.convert(POD), settings).plan
    assert plan is not None
    return container.containers(plan, settings)[0], container.volumes(plan)


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        pytest.param({}, {}, id="what is left out"),
        pytest.param({"native": False, "drainSeconds": 20}, {"mode": "container"}, id="an ordinary container"),
        pytest.param(
            {"shadow": True, "drainSeconds": 9, "storeSecret": "redis", "settingsConfigMap": ""},
            {"shadow": True, "shutdown_s": 9, "store_secret": "redis", "settings_configmap": ""},
            id="settings",
        ),
        pytest.param(
            {"pullPolicy": "Always", "memoryLimit": ""},
            {"image_pull_policy": "Always", "memory_limit": ""},
            id="pull policy",
        ),
        pytest.param(
            {"cpuRequest": "1", "cpuLimit": "2", "memoryRequest": "1Gi", "memoryLimit": "2Gi"},
            {"cpu_request": "1", "cpu_limit": "2", "memory_request": "1Gi", "memory_limit": "2Gi"},
            id="resources",
        ),
        pytest.param(
            {"cpuRequest": "", "cpuLimit": "", "memoryRequest": "", "memoryLimit": ""},
            {"cpu_request": "", "cpu_limit": "", "memory_request": "", "memory_limit": ""},
            id="no resources",
        ),
    ],
)
def test_it_is_the_injectors(consumer: Path, given: Json, settings: Json) -> None:
    defaults: Json = {
        "kubernetes_version": "1.32",
        "settings_configmap": "entitlement-sidecar-settings",
        "rules": "prices",
    }
    ours, volumes = by_injector(Injector(image=IMAGE, **defaults | settings))
    document = rendered(consumer, image=IMAGE, upstreamPort=9000, **given)
    assert document == {"container": ours, "volumes": volumes}


@pytest.mark.parametrize(
    ("given", "missing"), [({"upstreamPort": 9000}, "image"), ({"image": IMAGE}, "upstreamPort")]
)
def test_what_is_required_is_named(consumer: Path, given: Json, missing: str) -> None:
    with pytest.raises(helm_python.HelmError, match=f"`{missing}` is missing"):
        rendered(consumer, **given)
