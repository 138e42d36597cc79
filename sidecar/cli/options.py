"""The options that set settings, alike on every command that has them.

An option's `dest` is the dotted name of its setting, so `loaded` finds them all without a list of its own.
"""

import argparse
from pathlib import Path
from typing import Final

from sidecar.config.load import Flag, Loaded, load

_OPTIONS: Final[dict[str, tuple[str, str, str]]] = {
    "--upstream": ("upstream.url", "URL", "the API behind the proxy, such as http://127.0.0.1:9000"),
    "--upstream-header": (
        "upstream.headers",
        "'NAME: VALUE'",
        "a header for every request to the upstream; ${NAME} is read from the environment; may be repeated",
    ),
    "--rules": ("rules.paths", "PATH", "a rule file, or a folder of *.yaml; may be repeated"),
    "--data": ("data.dir", "DIR", "the data folder: bundled store, admin key (default: ~/.local/share/sidecar)"),
    "--listen": ("proxy.listen", "HOST:PORT", "where the proxy is served (default: 127.0.0.1:8080)"),
    "--control-listen": (
        "control.listen",
        "HOST:PORT",
        "where control API, health and metrics are served (default: 127.0.0.1:8081)",
    ),
    "--store": (
        "store.url",
        "URL",
        "Redis or Valkey: redis://, rediss://, unix://, redis+cluster:// or redis+sentinel://",
    ),
    "--shadow": ("proxy.shadow", "", "refuse nothing: serve and count what would be refused"),
}
_REPEATABLE: Final = frozenset({"--upstream-header", "--rules"})


def add(parser: argparse.ArgumentParser, *options: str) -> None:
    """``--config`` and `options`, or all of them when none is named."""
    add_config(parser)
    for option in options or _OPTIONS:
        name, metavar, text = _OPTIONS[option]
        if not metavar:
            parser.add_argument(option, dest=name, action="store_const", const="true", help=text)
            continue
        action = "append" if option in _REPEATABLE else "store"
        parser.add_argument(option, dest=name, metavar=metavar, action=action, help=text)


def add_config(parser: argparse.ArgumentParser) -> None:
    """``--config`` alone."""
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings in YAML; variables and options win")


def loaded(args: argparse.Namespace) -> Loaded:
    """The settings for `args`; ConfigError as `load`."""
    given = {option: getattr(args, name, None) for option, (name, _, _) in _OPTIONS.items()}
    flags = {_OPTIONS[option][0]: Flag(option, value) for option, value in given.items() if value is not None}
    return load(args.config, flags=flags)
