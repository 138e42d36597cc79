"""The chart rendered by Helm itself, in this process; each case of tests/helm/cases once.

Nothing is asked of a cluster: `lookup` finds nothing, so that passwords, keys and certificates are made anew each
time. Golden files have a word in their place.
"""

import functools
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.helm.reference import CHART

if sys.platform != "linux":
    pytest.importorskip("helm_python", reason="the library of Helm is not everywhere")

import helm_python

FOLDER: Final = Path(__file__).parent
CASES: Final = sorted(path.stem for path in (FOLDER / "cases").glob("*.yaml"))
RELEASE: Final = "demo"
NAMESPACE: Final = "sidecar"

GENERATED: Final = "<generated>"

Json = dict[str, Any]


@functools.cache
def chart() -> helm_python.Chart:
    return helm_python.Chart.load(CHART)


def render(values: Json) -> dict[str, str]:
    """Each template's text, by its path in the chart; helm_python.HelmError for values that cannot be."""
    return chart().render(values, name=RELEASE, namespace=NAMESPACE)


def case_values(case: str) -> Json:
    values: Json = yaml.safe_load((FOLDER / "cases" / f"{case}.yaml").read_text())
    return values


@functools.cache
def rendered(case: str) -> dict[str, str]:
    return render(case_values(case))


def objects_of(texts: dict[str, str]) -> list[Json]:
    """All objects of a rendered chart, in the order of its templates."""
    return [
        document
        for path, text in sorted(texts.items())
        if not path.endswith("NOTES.txt")
        for document in yaml.safe_load_all(text)
        if document is not None
    ]


@functools.cache
def objects(case: str) -> list[Json]:
    return objects_of(rendered(case))


def notes(case: str) -> str:
    return rendered(case)["sidecar/templates/NOTES.txt"]


def one(case: str, kind: str, name: str, namespace: str | None = None) -> Json:
    """The object of this kind and name; of several, the one in this namespace."""
    found = [
        each
        for each in objects(case)
        if each["kind"] == kind
        and each["metadata"]["name"] == name
        and namespace in {None, each["metadata"].get("namespace")}
    ]
    assert len(found) == 1, f"{case} has {len(found)} of {kind} {name}"
    return found[0]


def golden(case: str) -> str:
    """What a case renders, without what is generated."""
    shown = [_settled(each) for each in objects(case)]
    head = f"# What tests/helm/cases/{case}.yaml renders. Made again by `python -m tests.helm`.\n"
    return (
        head
        + "".join("---\n" + yaml.safe_dump(each, width=120, default_flow_style=None) for each in shown)
        + f"# NOTES\n{_quoted(case)}"
    )


def _quoted(case: str) -> str:
    return "".join(f"#   {line}".rstrip() + "\n" for line in notes(case).splitlines())


def _settled(each: Json) -> Json:
    if each["kind"] == "Secret":
        return each | {"data": dict.fromkeys(each["data"], GENERATED)}
    if each["kind"] == "MutatingWebhookConfiguration":
        hooks = [hook | {"clientConfig": _without_authority(hook["clientConfig"])} for hook in each["webhooks"]]
        return each | {"webhooks": hooks}
    if each["kind"] == "StatefulSet":
        each = yaml.safe_load(yaml.safe_dump(each))
        each["spec"]["template"]["metadata"]["annotations"]["checksum/users"] = GENERATED
    return each


def _without_authority(config: Json) -> Json:
    return config | ({"caBundle": GENERATED} if "caBundle" in config else {})
