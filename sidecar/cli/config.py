"""`sidecar config`: what is set and where it came from, and every setting there is."""

import argparse
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from sidecar.cli import options
from sidecar.config import reference
from sidecar.config.load import Loaded
from sidecar.config.types import LEAVES, Leaf
from sidecar.domain.errors import InvalidInput
from sidecar.store.address import parse_address

_MASK: Final = "(secret)"

_SHOW_EXAMPLES: Final = """\
examples:
  sidecar config show --config sidecar.yaml
  SIDECAR_LOG_LEVEL=debug sidecar config show --json
"""
_REFERENCE_EXAMPLES: Final = """\
example:
  sidecar config reference > sidecar.yaml         a file to begin with
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "show the settings, or every setting there is"
    commands = subparsers.add_parser("config", help=text, description=f"{text.capitalize()}.").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    show = commands.add_parser(
        "show",
        help="print the settings in force, secrets masked, and where each came from",
        description="Print the settings in force, with secrets masked, and where each value came from.",
        epilog=_SHOW_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add(show)
    show.add_argument("--json", action="store_true", help="one JSON object, by setting")
    show.set_defaults(run=_show)
    every = commands.add_parser(
        "reference",
        help="print every setting with its meaning and default",
        description="Print every setting with its meaning, range and default, as a settings file.",
        epilog=_REFERENCE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    every.add_argument("--markdown", action="store_true", help="as a page instead")
    every.set_defaults(run=_reference)


def _show(args: argparse.Namespace) -> int:
    loaded = options.loaded(args)
    values = {name: _shown(leaf, _value(loaded, leaf)) for name, leaf in LEAVES.items()}
    if args.json:
        by_name = {name: {"value": value, "from": loaded.origins[name]} for name, value in values.items()}
        print(msgspec.json.format(msgspec.json.encode(by_name), indent=2).decode())
        return 0
    texts = {name: _text(value) for name, value in values.items()}
    name_width = max(map(len, texts))
    text_width = min(40, max(map(len, texts.values())))
    for name, text in texts.items():
        print(f"{name:<{name_width}}  {text:<{text_width}}  {loaded.origins[name]}")
    return 0


def _reference(args: argparse.Namespace) -> int:
    print(reference.as_markdown() if args.markdown else reference.as_yaml(), end="")
    return 0


def _value(loaded: Loaded, leaf: Leaf) -> Any:
    value: Any = loaded.settings
    for step in leaf.place:
        value = getattr(value, str(step))
    return msgspec.to_builtins(value)


def _shown(leaf: Leaf, value: Any) -> Any:
    """`value` without its secret part: names of headers stay, and a store's address without its password."""
    if not leaf.secret or not value:
        return value
    if isinstance(value, Mapping):
        return dict.fromkeys(value, _MASK)
    if leaf.name == "store.url":
        try:
            return str(parse_address(value))
        except InvalidInput:
            return _MASK
    return _MASK


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    if isinstance(value, Mapping):
        items = {
            name: f"{{{_text(item)}}}" if isinstance(item, Mapping) else _text(item) for name, item in value.items()
        }
        return ", ".join(f"{name}: {item}" for name, item in items.items()) or "-"
    return str(value) if value != "" else "-"
