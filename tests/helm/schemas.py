"""Kubernetes' own schemas, strict: a field that it does not know is a mistake. Each is read once.

`kubernetes_validate.validate` does the same and reads them again for every object.
"""

import functools
from typing import Any, Final

import jsonschema
import referencing
from kubernetes_validate import utils

OLDEST: Final = "1.29"
NATIVE_SEEN: Final = "1.32"
NEWEST: Final = str(utils.latest_version())
VERSIONS: Final = (OLDEST, NATIVE_SEEN, NEWEST)

FIRST_IN: Final = {
    "ValidatingAdmissionPolicy": (1, 30),
    "ValidatingAdmissionPolicyBinding": (1, 30),
    "MutatingAdmissionPolicy": (1, 36),
    "MutatingAdmissionPolicyBinding": (1, 36),
}
"""Kinds that came later than the oldest cluster that we support."""

OTHERS: Final = {"ServiceMonitor", "PodMonitor", "PrometheusRule", "Certificate", "Issuer"}
"""Kinds of the Prometheus operator and cert-manager, of which there is no schema here."""


def problems(document: dict[str, Any], version: str) -> list[str]:
    """What the schemas of this version of Kubernetes have against an object, with its place."""
    found = _validator(document["kind"], document["apiVersion"], version).iter_errors(document)
    name = f"{document['kind']} {document['metadata']['name']}"
    return [f"{name}: {'.'.join(map(str, each.path))}: {each.message}" for each in found]


def knows(kind: str, version: str) -> bool:
    major, minor = version.split(".")[:2]
    return kind not in OTHERS and FIRST_IN.get(kind, (1, 0)) <= (int(major), int(minor))


@functools.cache
def _validator(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    group, _, name = api_version.rpartition("/")
    stem = "-".join(filter(None, [kind.lower(), group.partition(".")[0], name]))
    schema = utils.schema_contents(f"kubernetes-json-schema/{_folder(version)}/{stem}.json", version)
    return jsonschema.Draft202012Validator(schema, registry=_definitions(version))


@functools.cache
def _definitions(version: str) -> Any:
    contents = utils.schema_contents(f"kubernetes-json-schema/{_folder(version)}/_definitions.json", version)
    return referencing.Resource.from_contents(contents) @ referencing.Registry()


def _folder(version: str) -> str:
    full = [each for each in utils.all_versions() if utils.major_minor(each) == utils.major_minor(version)]
    return f"v{full[-1]}-local-strict"
