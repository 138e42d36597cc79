"""The options that set settings, alike on every command that has them.

An option's `dest` is the dotted name of its setting, so `loaded` finds them all without a list of its own.
"""

import argparse
from collections.abc import Mapping
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
_OF_INJECTOR: Final[dict[str, tuple[str, str, str]]] = {
    "--listen": ("injector.listen", "HOST:PORT", "where reviews are answered (default: 0.0.0.0:8443)"),
    "--tls-cert": ("injector.tls_cert_file", "FILE", "the webhook's certificate, PEM; read again when it changes"),
    "--tls-key": ("injector.tls_key_file", "FILE", "its key"),
}
_REPEATABLE: Final = frozenset({"--upstream-header", "--rules"})


def add(parser: argparse.ArgumentParser, *options: str) -> None:
    """``--config`` and `options`, or all of them when none is named."""
    _add(parser, {option: _OPTIONS[option] for option in options or _OPTIONS})


def add_of_injector(parser: argparse.ArgumentParser) -> None:
    """``--config`` and the options that only the injector has; its ``--listen`` is not the proxy's."""
    _add(parser, _OF_INJECTOR)


def _add(parser: argparse.ArgumentParser, options: Mapping[str, tuple[str, str, str]]) -> None:
    add_config(parser)
    for option, (name, metavar, text) in options.items():
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
    known = [(option, name) for table in (_OPTIONS, _OF_INJECTOR) for option, (name, _, _) in table.items()]
    given = {name: (option, getattr(args, name, None)) for option, name in known}
    flags = {name: Flag(option, value) for name, (option, value) in given.items() if value is not None}
    return load(args.config, flags=flags)
