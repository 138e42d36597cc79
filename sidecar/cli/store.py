"""`sidecar store acl`: the users that the store should have. It connects to nothing."""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Final

from sidecar.cli import options
from sidecar.domain.errors import InvalidInput
from sidecar.store.acl import User, acl_rules

_EXAMPLES: Final = """\
examples:
  sidecar store acl proxy --password-file proxy.password >> users.acl
  sidecar store acl control --password-file control.password >> users.acl
  redis-cli ACL SETUSER $(sidecar store acl proxy | cut -d' ' -f2-)
"""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "say what the store should know of us"
    commands = subparsers.add_parser("store", help=text, description=f"{text.capitalize()}.").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    acl = commands.add_parser(
        "acl",
        help="print the line of an ACL file for a user that may do what we need, and no more",
        description="Print the line of a Redis ACL file for the user of a process: the commands, keys and channels "
        "that it needs, in the tenant and environment of the settings, and no more.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_config(acl)
    acl.add_argument(
        "user",
        choices=list(User),
        type=User,
        help="proxy: of `sidecar proxy`; control: of control, run, verify, rebuild",
    )
    acl.add_argument("--name", metavar="NAME", help="of the user (default: sidecar-proxy or sidecar-control)")
    acl.add_argument(
        "--password-file", metavar="FILE", type=Path, help="whose first line is the password; its SHA-256 is printed"
    )
    acl.add_argument("--redis-6", action="store_true", help="for Redis 6, which cannot let a user only read a key")
    acl.set_defaults(run=_acl)


def _acl(args: argparse.Namespace) -> int:
    settings = options.loaded(args).settings
    rules = acl_rules(args.user, tenant=settings.tenant, environment=settings.environment, redis_6=args.redis_6)
    print(f"user {args.name or f'sidecar-{args.user}'} reset on {_password(args.password_file)} {rules}")
    return 0


def _password(file: Path | None) -> str:
    if file is None:
        print(
            "Nobody can log in as this user yet: it has no password. Name one with --password-file.", file=sys.stderr
        )
        return "resetpass"
    try:
        password = file.read_text().splitlines()[:1]
    except (OSError, UnicodeError) as error:
        raise InvalidInput(f"The password file {file} cannot be read: {error}.") from error
    if not password or not password[0]:
        raise InvalidInput(f"The password file {file} is empty; its first line must be the password.")
    return f"#{hashlib.sha256(password[0].encode()).hexdigest()}"
