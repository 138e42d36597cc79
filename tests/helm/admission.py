"""The chart's admission policies, evaluated as an API server does: CEL by its C++ implementation.

What Kubernetes adds to CEL is added here: its list functions, and the objects that patches are made of. Those are
mappings here, which CEL in Kubernetes would not take for want of a type.
"""

import functools
import re
import sys
from typing import Any, Final

import jsonpatch
import pytest

if sys.platform != "linux":
    pytest.importorskip("cel_expr_python", reason="the library of CEL is not everywhere")

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings

from tests.helm import rendering

Json = dict[str, Any]

_OBJECT: Final = re.compile(r"\b(?:Object(?:\.\w+)*|JSONPatch)\{")
_FIELD: Final = re.compile(r"(?<=[{ ])([a-zA-Z]+):(?= )")


@functools.cache
def _environment() -> Any:
    dyn, numbers = cel.Type.DYN, cel.Type.List(cel.Type.DYN)
    lists = cel.CelExtension(
        "lists of Kubernetes",
        [
            cel.FunctionDecl(
                "lists.range",
                [
                    cel.Overload(
                        "lists_range", numbers, [cel.Type.INT], is_member=False, impl=lambda n: list(range(n))
                    )
                ],
            ),
            cel.FunctionDecl(
                "flatten",
                [
                    cel.Overload(
                        "flatten",
                        numbers,
                        [numbers],
                        is_member=True,
                        impl=lambda ls: [e for each in ls for e in each],
                    )
                ],
            ),
        ],
    )
    extensions = [ext_strings.ExtStrings(), ext_optional.ExtOptional(), lists]
    return cel.NewEnv(variables={"object": dyn, "variables": dyn}, extensions=extensions)


@functools.cache
def _compiled(expression: str) -> Any:
    plain = _FIELD.sub(r"'\1':", _OBJECT.sub("{", expression)) if "JSONPatch{" in expression else expression
    return _environment().compile(plain)


def _evaluate(expression: str, values: Json) -> Any:
    return _compiled(expression).eval(data=values).plain_value()


def _values(pod: Json, variables: list[Json]) -> Json:
    values: Json = {"object": pod, "variables": {}}
    for variable in variables:
        values["variables"][variable["name"]] = _evaluate(variable["expression"], values)
    return values


def denied(pod: Json, case: str) -> list[str]:
    """What the second lock says against a pod that comes out of mutation."""
    spec = rendering.one(case, "ValidatingAdmissionPolicy", "demo-sidecar-sidecar-second-lock")["spec"]
    values = _values(pod, spec["variables"])
    return [each["message"] for each in spec["validations"] if not _evaluate(each["expression"], values)]


def mutated(pod: Json, case: str) -> Json:
    """The pod as the mutating policy leaves it."""
    spec = rendering.one(case, "MutatingAdmissionPolicy", "demo-sidecar-sidecar-injection")["spec"]
    for mutation in spec["mutations"]:
        values = _values(pod, spec["variables"])
        pod = jsonpatch.apply_patch(pod, _evaluate(mutation["jsonPatch"]["expression"], values))
    return pod
