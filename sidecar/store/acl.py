"""Who may do what in the store: users of an ACL, each with the commands, keys and channels that its process needs.

What proxies need is listed; who runs the control plane may do everything that our code does, in its own tenant and
environment. Both may run scripts, as Redis cannot allow only some: a script may do what its user may, so a user's
commands and keys are the bound. The commands of scripts are read from the scripts themselves.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from sidecar.store import commands as scripts
from sidecar.store.commands import SCRIPTS, Script

_CALL: Final = re.compile(r"redis\.p?call\('([A-Z]+)'(?:, '([A-Z]+)')?")
_WITH_SUBCOMMANDS: Final = frozenset({"XINFO"})

_CONNECTION: Final = frozenset(
    {
        *("CLIENT|SETNAME", "SELECT", "PING", "INFO", "ROLE", "SCRIPT|LOAD", "EVALSHA", "EVAL"),
        # Of a cluster.
        *("CLUSTER|SLOTS", "ASKING"),
    }
)
_PROXY_SCRIPTS: Final = (
    scripts.RESERVE, scripts.COMMIT, scripts.RELEASE, scripts.RESIZE, scripts.CHARGE, scripts.EXTEND,
    scripts.CLAIM_REQUEST, scripts.UNCLAIM_REQUEST, scripts.KEEP_ANSWER, scripts.TAKE_LEASE, scripts.GIVE_BACK_LEASE,
)  # fmt: skip
_PROXY_COMMANDS: Final = frozenset(
    {
        # Who asks, what signs tokens, how full journals are.
        *("GET", "HMGET", "SET", "XLEN"),
        # Jobs that are polled; who was refused what.
        *("ZADD", "ZREM", "ZRANGEBYSCORE", "HINCRBY", "EXPIRE"),
        # Waiting, and leases that are asked back.
        *("SUBSCRIBE", "PUBLISH"),
    }
)
_CONTROL_COMMANDS: Final = _PROXY_COMMANDS | {
    *("DEL", "EXISTS", "HEXISTS", "HGET", "HGETALL", "HDEL", "HKEYS", "HSCAN", "HSET", "SCAN", "UNLINK"),
    *("XRANGE", "XREVRANGE", "ZRANGE"),
}
_PROXY_KEYS: Final = (
    # In the order of how often they are used: the store compares one after the other.
    *("account:*", "holds:*", "customer:*", "due", "journal"),
    *("request:*", "answers:*", "answers-end:*", "jobs", "lease:polling", "denials:*", "secret:signing"),
)
_PROXY_READS: Final = ("external:*", "clock")


class User(StrEnum):
    PROXY = "proxy"
    """Of `sidecar proxy`: what is in every pod."""
    CONTROL = "control"
    """Of `sidecar control`, `run`, `verify` and `rebuild`."""


def acl_rules(user: User, *, tenant: str, environment: str, redis_6: bool = False) -> str:
    """The rules of one user, from nothing on, without name and password; for one database, and for a cluster.

    With `redis_6` keys that are only read may also be written: Redis knows no difference before version 7.
    """
    prefix = f"sidecar:{{*}}:{tenant}/{environment}:"
    if user is User.CONTROL:
        keys = [f"~{prefix}*"]
        channels = ["&sidecar:woken:*", f"&sidecar:recalls:{tenant}.{environment}"]
        allowed = _CONTROL_COMMANDS | _called_by(SCRIPTS)
    else:
        reads = "~" if redis_6 else "%R~"
        keys = [*(f"~{prefix}{name}" for name in _PROXY_KEYS), *(f"{reads}{prefix}{name}" for name in _PROXY_READS)]
        channels = ["&sidecar:woken:*", f"&sidecar:recalls:{tenant}.{environment}"]
        allowed = _PROXY_COMMANDS | _called_by(_PROXY_SCRIPTS)
    named = sorted(f"+{command.lower()}" for command in allowed | _CONNECTION)
    return " ".join(["resetkeys", *keys, "resetchannels", *channels, "-@all", *named])


def _called_by(called: Iterable[Script]) -> frozenset[str]:
    """The commands of scripts, with their subcommands where they have any."""
    found = (call for script in called for call in _CALL.findall(script.text))
    return frozenset(f"{name}|{sub}" if name in _WITH_SUBCOMMANDS else name for name, sub in found)
