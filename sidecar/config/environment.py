"""Settings from environment variables: their names, their text forms, and the variables that are none of ours.

``SIDECAR_<SECTION>_<KEY>`` sets a setting; an empty variable sets nothing: container tools pass it for "not
given". Values are text: lists separated by commas, headers one ``Name: value`` on each line, units as
``tokens:0,seconds:3``.
"""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Final, get_origin

from sidecar.config.types import LEAVES, Leaf

PREFIX: Final = "SIDECAR_"

CONFIG_FILE: Final = "SIDECAR_CONFIG"
"""Names the file when ``--config`` is absent."""

_BY_VARIABLE: Final = {leaf.variable: leaf for leaf in LEAVES.values()}
_SECTIONS: Final = tuple({f"{PREFIX}{name.partition('.')[0].upper()}_" for name in LEAVES if "." in name})

_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)\Z|_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?\Z", re.ASCII)
"""What Kubernetes sets for a Service whose name begins with ``sidecar-``, in every pod beside it."""

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def variables(environ: Mapping[str, str]) -> Iterator[tuple[Leaf, str]]:
    """The settings that `environ` sets, with their text."""
    for variable, leaf in _BY_VARIABLE.items():
        if environ.get(variable):
            yield leaf, environ[variable]


def unknown(environ: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    """Variables that look like ours and set nothing, with the nearest one that does.

    Those of no known section are only reported when close to a real one: other programs may share our prefix.
    """
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in _BY_VARIABLE or variable == CONFIG_FILE:
            continue
        if _is_service_link(variable, environ[variable]):
            continue
        near = get_close_matches(variable, _BY_VARIABLE, n=1, cutoff=0.85)
        if near or variable.startswith(_SECTIONS):
            yield variable, near[0] if near else None


def _is_service_link(variable: str, value: str) -> bool:
    links = _SERVICE_LINK.search(variable) is not None
    return links or (variable.endswith("_PORT") and value.startswith(("tcp://", "udp://", "sctp://")))


def plain(leaf: Leaf, text: str) -> object:
    """The text of a variable as the data that a file would hold, scalars still as text."""
    if get_origin(leaf.annotation) is list:
        return [item.strip() for item in text.split(",") if item.strip()]
    if leaf.name == "units":
        pairs = (item.partition(":") for item in text.split(",") if item.strip())
        return {name.strip(): {"scale": scale.strip()} for name, _, scale in pairs}
    if get_origin(leaf.annotation) is dict:
        return header_lines(text.splitlines())
    return text


def header_lines(lines: list[str]) -> object:
    """``Name: value`` lines as a mapping; with any line that has no colon, the lines, which no setting takes."""
    pairs = [line.partition(":") for line in lines if line.strip()]
    if not all(colon for _, colon, _ in pairs):
        return lines
    return {name.strip(): value.strip() for name, _, value in pairs}


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, list[str]]:
    """`text` with each ``${NAME}`` replaced from `environ`, and the names that are not set there."""
    missing: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        value = environ.get(match[1])
        if not value:
            missing.append(match[1])
        return value or ""

    return _REFERENCE.sub(replaced, text), missing
