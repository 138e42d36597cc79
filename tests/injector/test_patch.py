"""Every pod of the folder: the golden answer, applied by two implementations, and valid where it is to run."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonpatch
import pytest

from sidecar.injector import pod as pods
from sidecar.injector.decide import Outcome, decide
from tests.helm import schemas
from tests.injector import golden
from tests.injector.golden import FOLDER, NAMES, given

INJECTED = [name for name in NAMES if (FOLDER / f"{name}.patch.json").exists()]
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here")


def patched(name: str) -> dict[str, Any]:
    patch = json.loads((FOLDER / f"{name}.patch.json").read_text())
    result: dict[str, Any] = jsonpatch.apply_patch(given(name).document, patch)
    return result


@pytest.mark.parametrize("name", NAMES)
def test_a_pod_is_answered_as_it_stands_beside_it(name: str) -> None:
    assert golden.answered(name) == golden.expected(name), "python -m tests.injector.golden writes it again"


@pytest.mark.parametrize("name", INJECTED)
def test_a_patched_pod_is_valid(name: str) -> None:
    pod = patched(name)
    pod["metadata"].setdefault("name", "any")
    assert [problem for version in schemas.VERSIONS for problem in schemas.problems(pod, version)] == []


@pytest.mark.parametrize("name", INJECTED)
def test_a_patched_pod_is_left_alone(name: str) -> None:
    decision = decide(pods.convert(patched(name)), given(name).settings)
    assert decision.outcome is Outcome.SKIP
    assert [reason.word for reason in decision.reasons] == ["already_injected"]


@needs_kubectl
@pytest.mark.parametrize("name", INJECTED)
def test_kubernetes_own_json_patch_gives_the_same(name: str, tmp_path: Path) -> None:
    file, patch = tmp_path / "pod.json", (FOLDER / f"{name}.patch.json").read_text()
    # kubectl wants a name for what it reads from a file, and takes two missing mappings for empty ones.
    document = given(name).document
    file.write_text(json.dumps(document | {"metadata": {"name": "any"} | document["metadata"]}))
    ran = subprocess.run(
        ["kubectl", "patch", "--local", "-f", file, "--type=json", "-p", patch, "-o", "json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    result = patched(name)
    result["metadata"].setdefault("name", "any")
    assert without_nothing(json.loads(ran.stdout)) == without_nothing(result)


def without_nothing(value: Any) -> Any:
    """Without the nulls and empty mappings that Kubernetes' types add when they are written."""
    if isinstance(value, dict):
        pruned = {key: without_nothing(each) for key, each in value.items()}
        return {key: each for key, each in pruned.items() if each not in (None, {})}
    return [without_nothing(each) for each in value] if isinstance(value, list) else value
