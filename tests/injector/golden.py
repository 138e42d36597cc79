"""The folder of pods: what goes in, and what has to come out.

``name.yaml`` is a pod, with the injector's settings in its first line if it needs some. Beside it stands
``name.patch.json``, the operations, with ``name.warn.txt`` if something is told; or ``name.skip.txt`` or
``name.deny.txt``, the sentences. ``python -m tests.injector.golden`` writes them again: then read the difference.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import yaml

from sidecar.config.settings import Injector
from sidecar.injector import pod as pods
from sidecar.injector.answer import answer
from sidecar.injector.pod import Pod
from sidecar.injector.review import Kind, Request, Response

FOLDER = Path(__file__).parent / "pods"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
IMAGE = "example.com/sidecar:1"

Json = dict[str, Any]

_SETTINGS = re.compile(r"# settings: (.*)")


class Given(msgspec.Struct, frozen=True):
    document: Json
    settings: Injector

    @property
    def pod(self) -> Pod:
        return pods.convert(self.document)


@cache
def given(name: str) -> Given:
    text = (FOLDER / f"{name}.yaml").read_text()
    changes = _SETTINGS.match(text)
    settings = Injector(image=IMAGE, **yaml.safe_load(changes[1]) if changes else {})
    return Given(yaml.safe_load(text), settings)


def request_for(document: Json, **fields: Any) -> Request:
    """What an API server asks when somebody creates `document`."""
    asked: Json = {"uid": "u-1", "kind": Kind(version="v1", kind="Pod"), "operation": "CREATE", "namespace": "shop"}
    return Request(**asked | fields, object=msgspec.Raw(msgspec.json.encode(document)))


def asked(name: str) -> Response:
    """The answer to the pod of this name."""
    return answer(request_for(given(name).document), given(name).settings)[0]


def expected(name: str) -> dict[str, str]:
    """By ending, what stands beside the pod."""
    return {
        path.name.removeprefix(f"{name}."): path.read_text()
        for path in FOLDER.glob(f"{name}.*")
        if path.suffix != ".yaml"
    }


def answered(name: str) -> dict[str, str]:
    """The same from what the injector answers."""
    response = asked(name)
    sentences = "".join(f"{sentence}\n" for sentence in response.warnings)
    if not response.allowed:
        assert response.status is not None
        denied = response.status.message.replace(". ", ".\n")
        return {"deny.txt": f"{denied}\n{sentences}"}
    if response.patch is None:
        return {"skip.txt": sentences}
    patch = {"patch.json": json.dumps(json.loads(response.patch), indent=2) + "\n"}
    return patch | ({"warn.txt": sentences} if sentences else {})


def main() -> None:
    for name in NAMES:
        for ending in expected(name):
            (FOLDER / f"{name}.{ending}").unlink()
        for ending, text in answered(name).items():
            (FOLDER / f"{name}.{ending}").write_text(text)


if __name__ == "__main__":
    main()
