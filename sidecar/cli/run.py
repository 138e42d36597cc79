"""`sidecar run`, `sidecar proxy` and `sidecar control`: the commands that serve until they are stopped."""

import argparse
from typing import Final

from sidecar.cli import logs, options
from sidecar.config.settings import Settings
from sidecar.domain.errors import StartupError

_RUN_EXAMPLES: Final = """\
examples:
  sidecar run --upstream http://127.0.0.1:9000 --rules rules/http.yaml
  sidecar run --upstream https://api.openai.com --rules rules/openai.yaml \\
      --upstream-header 'Authorization: Bearer ${OPENAI_API_KEY}'
  sidecar run --config sidecar.yaml --store redis://127.0.0.1:6379
"""
_PROXY_EXAMPLES: Final = """\
example:
  sidecar proxy --workers 4 --store redis://redis:6379 --upstream http://127.0.0.1:9000 --rules rules/openai.yaml
"""
_CONTROL_EXAMPLES: Final = """\
example:
  SIDECAR_ADMIN_KEY=ck_live_… sidecar control --store redis://redis:6379 --control-listen 0.0.0.0:8081
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = _parser(
        subparsers,
        "run",
        "serve everything in one process: proxy, control API and, without --store, a bundled store",
        _RUN_EXAMPLES,
    )
    options.add(run)
    run.set_defaults(run=_run)
    proxy = _parser(subparsers, "proxy", "serve the data path only, on the store that --store names", _PROXY_EXAMPLES)
    options.add(proxy, "--upstream", "--upstream-header", "--rules", "--listen", "--store", "--shadow")
    proxy.add_argument(
        "--workers", metavar="N", type=_count, default=1, help="processes that share the port (default: 1)"
    )
    proxy.set_defaults(run=_proxy)
    control = _parser(
        subparsers,
        "control",
        "serve the control API and give back overdue holds; a cluster runs it once",
        _CONTROL_EXAMPLES,
    )
    options.add(control, "--rules", "--control-listen", "--store", "--data")
    control.set_defaults(run=_control)


def _parser(
    subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, about: str, examples: str
) -> argparse.ArgumentParser:
    return subparsers.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _count(text: str) -> int:
    """An argparse type."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 256):
        raise argparse.ArgumentTypeError("must be a number from 1 to 256")
    return int(text)


def _run(args: argparse.Namespace) -> int:
    from sidecar.cli import serving  # noqa: PLC0415  (a quarter of a second that other commands need not wait)

    return serving.run(_settings(args))


def _proxy(args: argparse.Namespace) -> int:
    from sidecar.cli import serving  # noqa: PLC0415  (as above)

    return serving.proxy(_with_store(_settings(args)), args.workers)


def _control(args: argparse.Namespace) -> int:
    from sidecar.cli import serving  # noqa: PLC0415  (as above)

    return serving.control(_with_store(_settings(args)))


def _settings(args: argparse.Namespace) -> Settings:
    settings = options.loaded(args).settings
    logs.set_up(settings.log)
    return settings


def _with_store(settings: Settings) -> Settings:
    if not settings.store.url:
        raise StartupError(
            "No store: name the one that all processes share with --store, such as redis://127.0.0.1:6379; "
            "only `sidecar run` brings its own."
        )
    return settings
