"""`sidecar injector`: the admission webhook, which puts the sidecar into the pods of a cluster."""

import argparse
from typing import Final

from sidecar.cli import logs, options

_EXAMPLE: Final = """\
example:
  SIDECAR_INJECTOR_IMAGE=registry.example.com/sidecar:0.1.0 \\
      sidecar injector --tls-cert /etc/sidecar/tls/tls.crt --tls-key /etc/sidecar/tls/tls.key --listen 0.0.0.0:8443
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    about = "answer a Kubernetes API server which pods get the sidecar, and how"
    parser = subparsers.add_parser(
        "injector",
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_of_injector(parser)
    parser.set_defaults(run=_injector)


def _injector(args: argparse.Namespace) -> int:
    from sidecar.cli import banner, process  # noqa: PLC0415  (a quarter of a second that other commands need not wait)

    settings = options.loaded(args).settings
    logs.set_up(settings.log)
    return process.serve_injector(settings, banner.print_injector_up)
