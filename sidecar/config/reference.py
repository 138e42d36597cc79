"""Every setting with its meaning, range and default, read from `settings` itself: as a YAML file and as a page.

`config/sidecar.yaml` and `docs/configuration.md` are what this writes; a test keeps them so.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any

from sidecar.config import settings
from sidecar.config.types import LEAVES, Leaf, expected

_WIDTH = 110

_YAML_HEAD = """\
# Every setting of the sidecar, with its default. This file as it stands changes nothing.
#
#   sidecar run --config sidecar.yaml
#
# The environment wins over this file, and a flag over both: `sidecar config show` prints what is in force and
# where it came from. Relative paths start at this file's folder. Names end in their unit: _s is seconds.
"""

_PAGE_HEAD = """\
# Configuration

Each setting comes from the first of these that gives it: a flag, the environment, the file named by `--config` (or
`SIDECAR_CONFIG`), its default. `sidecar config show` prints what is in force and where each value came from, with
secrets masked. Unknown keys and values that cannot be are errors at start, all of them at once, with their place.

- **File**: YAML, one mapping for each section. `config/sidecar.yaml` holds every setting with its default;
  `sidecar config reference` prints it. Relative paths start at the file's folder. A key without a value sets nothing.
- **Environment**: `SIDECAR_<SECTION>_<KEY>`, such as `SIDECAR_UPSTREAM_URL`. An empty variable sets nothing. Lists
  are separated by commas, headers are one `Name: value` on each line, units are `tokens:0,gpu_seconds:3`.
- **Flags**: `--upstream`, `--upstream-header`, `--rules`, `--data`, `--listen`, `--control-listen`, `--store`,
  `--shadow`. `--rules` and `--upstream-header` may be repeated.

Headers and units are merged by name over these sources; everything else is replaced.

Names end in their unit: `_s` is seconds, `_bytes` is bytes. Secrets are never shown, logged or part of an error.

This page is generated: `sidecar config reference --markdown`.
"""


def as_yaml() -> str:
    """A settings file that sets every setting to its default, each below its meaning."""
    lines = [_YAML_HEAD.rstrip("\n")]
    for section, leaves in _by_section():
        lines += ["", f"{section}:"] if section else []
        indent = "  " if section else ""
        for leaf in leaves:
            lines += [] if section else [""]
            meaning = textwrap.wrap(_meaning(leaf, ranges=False), _WIDTH - len(indent))
            lines += [f"{indent}# {line}" for line in meaning]
            lines.append(f"{indent}{leaf.place[-1]}: {_yaml(leaf.default)}")
    return "\n".join(lines) + "\n"


def as_markdown() -> str:
    """The page that explains every setting, section by section."""
    lines = [_PAGE_HEAD]
    for section, leaves in _by_section():
        lines += [f"## {section}" if section else "## Beside the sections", ""]
        lines += ["| Setting | Default | What it does |", "|---|---|---|"]
        for leaf in leaves:
            lines.append(f"| `{leaf.name}` | `{_yaml(leaf.default)}` | {_meaning(leaf, ranges=True)} |")
        lines.append("")
    return "\n".join(lines)


def _by_section() -> Iterator[tuple[str, list[Leaf]]]:
    """The settings by section, those of none under the empty name."""
    for section, leaves in groupby(LEAVES.values(), lambda leaf: leaf.name.rpartition(".")[0]):
        yield section, list(leaves)


@cache
def meanings() -> dict[str, str]:
    """The docstring below each field of `settings`, on one line, by dotted name."""
    tree = ast.parse(inspect.getsource(settings))
    classes = {node.name: dict(_documented(node)) for node in tree.body if isinstance(node, ast.ClassDef)}
    defaults = settings.Settings()
    by_name: dict[str, str] = {}
    for name in LEAVES:
        section, dot, key = name.rpartition(".")
        owner = type(getattr(defaults, section)) if dot else settings.Settings
        by_name[name] = classes[owner.__name__][key]
    return by_name


def _documented(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            assert isinstance(below.value, ast.Constant)
            yield field.target.id, " ".join(str(below.value.value).replace("``", "`").split())


def _meaning(leaf: Leaf, *, ranges: bool) -> str:
    """What `leaf` does, with the words to choose from, and with the range of a number if `ranges`."""
    words = expected(leaf.annotation)
    told = isinstance(leaf.default, str) or (ranges and not isinstance(leaf.default, bool | list | dict))
    meaning = meanings()[leaf.name]
    return f"{meaning} ({words})" if told and words != "text" else meaning


def _yaml(value: Any) -> str:
    """A default as YAML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name}: {_yaml(item)}' for name, item in value.items())}}}"
    if isinstance(value, settings.UnitSection):
        return f"{{scale: {value.scale}}}"
    return str(value) or '""'
