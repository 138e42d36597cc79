"""The chart's README and schema of values, made from the comments of values.yaml.

A comment stands above its key; a line of it that begins with ``# @`` is YAML for the schema. The type is that of the
default. Mappings hold what values.yaml shows and nothing else, unless their comment says what may be in them.
`python -m tests.helm` writes both; a test compares them.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

CHART: Final = Path(__file__).parents[2] / "helm" / "sidecar"

_KEY = re.compile(r"(?P<indent> *)(?P<name>[A-Za-z]+):(?: (?P<default>.+))?$")
_TYPES: Final[dict[type, str]] = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}

Json = dict[str, Any]


class Value(msgspec.Struct, frozen=True, kw_only=True):
    path: tuple[str, ...]
    default: Any
    text: str
    """The default as it is written; empty for a section."""
    about: str
    constraints: Json

    @property
    def is_section(self) -> bool:
        """A mapping whose keys have comments of their own."""
        return not self.text and "additionalProperties" not in self.constraints


def values() -> list[Value]:
    """Every value of values.yaml, in its order."""
    return list(_read((CHART / "values.yaml").read_text()))


def _read(text: str) -> Iterator[Value]:
    defaults = yaml.safe_load(text)
    comment: list[str] = []
    path: list[str] = []
    free: int | None = None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("#"):
            comment.append(stripped[1:].strip())
        elif not stripped:
            comment = []
        else:
            match = _KEY.match(line)
            assert match is not None, f"values.yaml has a line that is no key: {line}"
            depth = len(match["indent"]) // 2
            if free is not None and depth > free:
                continue
            path[depth:] = [match["name"]]
            value = _value(tuple(path), defaults, match["default"] or "", comment)
            free = depth if not value.is_section else None
            comment = []
            yield value


def _value(path: tuple[str, ...], defaults: Any, text: str, comment: list[str]) -> Value:
    default = defaults
    for name in path:
        default = default[name]
    constraints: Json = {}
    for line in comment:
        if line.startswith("@"):
            constraints |= yaml.safe_load(line[1:])
    about = " ".join(line for line in comment if not line.startswith("@"))
    return Value(path=path, default=default, text=text, about=about, constraints=constraints)


def schema() -> str:
    """values.schema.json: strict, so that a misspelt value fails the installation."""
    root: Json = _closed("The values of the chart; made from values.yaml.")
    root = {"$schema": "http://json-schema.org/draft-07/schema#", **root}
    # Helm itself gives these to a chart that has others below it.
    root["properties"] = {"global": {"type": "object"}, "sidecar-container": {"type": "object"}}
    for value in values():
        parent = root
        for name in value.path[:-1]:
            parent = parent["properties"][name]
        parent["properties"][value.path[-1]] = _node(value)
    return json.dumps(root, indent=2) + "\n"


def _closed(about: str) -> Json:
    return {"type": "object", "description": about, "additionalProperties": False, "properties": {}}


def _node(value: Value) -> Json:
    if value.is_section:
        return _closed(value.about)
    node: Json = {"type": _TYPES[type(value.default)], "description": value.about, "default": value.default}
    return node | value.constraints


def readme() -> str:
    """README.md of the chart."""
    rows = [
        f"| `{'.'.join(value.path)}` | {_default(value)} | {value.about.replace('|', chr(92) + '|')} |"
        for value in values()
        if not value.is_section
    ]
    return _README.format(rows="\n".join(rows))


def _default(value: Value) -> str:
    shown = value.text or json.dumps(value.default)
    return f"`{shown}`"


_README: Final = """\
# Helm chart `sidecar`

The control plane, the injector and what pods need: see [docs/kubernetes.md](../../docs/kubernetes.md), which leads
from nothing to an enforced Deployment in ten minutes.

```sh
helm install sidecar helm/sidecar --namespace sidecar --create-namespace \\
  --set store.bundled.enabled=true --set 'injection.namespaces={{shop}}' \\
  --set-file 'rules.files.http\\.yaml=rules/http.yaml'
```

What cannot be is refused: values of the wrong name or type by the schema, values that do not go together with a
sentence that names both.

Another chart can have the container without injection: it depends on `charts/sidecar-container`, whose templates are
described in `templates/_container.tpl` there.

## Values

This page and `values.schema.json` are made from `values.yaml`: `python -m tests.helm`.

| Value | Default | What it does |
|---|---|---|
{rows}
"""
