"""Commands as bytes: packing, and the Lua scripts. It sends nothing.

A script is one file in `lua/`, one atomic operation, with its KEYS, ARGV and outcomes in its header. What several of
them need stands in `lua/shared/` and is put in front; the line numbers of Redis are mapped back to the file.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

_LINE = re.compile(r"(?:@\s*)?user_script:(\d+)")


def bulk(data: bytes) -> bytes:
    """One argument in the Redis protocol."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def argument(value: bytes | str | int) -> bytes:
    return bulk(value if isinstance(value, bytes) else str(value).encode())


def pack(*arguments: bytes | str | int) -> bytes:
    """One command in the Redis protocol."""
    return b"*%d\r\n" % len(arguments) + b"".join(map(argument, arguments))


class Script:
    """One Lua script; `pack` makes a call of it. How many keys and arguments it wants is in its header."""

    def __init__(self, name: str, *shared: str) -> None:
        self.name = name
        files = [*(f"shared/{part}.lua" for part in shared), f"{name}.lua"]
        self._load([(file, _read(file)) for file in files])
        self.head = lru_cache(maxsize=256)(self._head)
        """What a call by digest begins with, for so many keys and arguments; those follow, each as `bulk`."""

    def pack(self, keys: Sequence[bytes], arguments: Sequence[bytes | str | int] = ()) -> bytes:
        """Call by digest: the keys, then the arguments, in the order of the script's header."""
        return b"".join((self.head(len(keys), len(arguments)), *map(bulk, keys), *map(argument, arguments)))

    def as_eval(self, packed: bytes) -> bytes:
        """The same call with the whole text, for a server that has forgotten the digest."""
        return packed.replace(self._by_digest, self._by_text, 1)

    def located(self, message: str) -> str:
        """The error message of Redis, with ``user_script:41`` written as ``reserve.lua:20``."""
        return _LINE.sub(lambda match: self._place(int(match[1])), message)

    def _load(self, parts: list[tuple[str, str]]) -> None:
        self.text = "".join(text for _, text in parts)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest().encode()
        self._lines = [(file, text.count("\n")) for file, text in parts]
        self._by_digest = bulk(b"EVALSHA") + bulk(self.sha)
        self._by_text = bulk(b"EVAL") + bulk(self.text.encode())

    def _head(self, keys: int, arguments: int) -> bytes:
        return b"*%d\r\n" % (3 + keys + arguments) + self._by_digest + bulk(b"%d" % keys)

    def _place(self, line: int) -> str:
        for file, count in self._lines:
            if line <= count:
                return f"{file}:{line}"
            line -= count
        return f"{self.name}.lua:{line}"


def _read(file: str) -> str:
    return resources.files("sidecar.store").joinpath("lua", file).read_text(encoding="utf-8")


_ACCOUNT = ("amounts", "clock", "keys", "account", "journal", "blocks")
_HOLD = (*_ACCOUNT, "hold", "pool", "draw")
_GRANT = (*_ACCOUNT, "once", "terms")

RESERVE = Script("reserve", *_HOLD)
COMMIT = Script("commit", *_HOLD, "settle")
RELEASE = Script("release", *_HOLD, "settle")
RESIZE = Script("resize", *_HOLD)
DUE = Script("due", "clock")
SWEEP = Script("sweep", *_HOLD, "settle")
GRANT = Script("grant", *_GRANT)
VOID = Script("void", *_GRANT)
EXTEND = Script("extend", *_GRANT)
LOOK = Script("look", *_ACCOUNT)
AUDIT = Script("audit", "keys")
CREATE_CUSTOMER = Script("create_customer")
SET_POOL_CAP = Script("set_pool_cap")
CREATE_KEY = Script("create_key")
REVOKE_KEY = Script("revoke_key")
BEGIN_ONCE = Script("begin_once")
ADVANCE_JOURNAL = Script("advance_journal")
JOURNAL_EXTENT = Script("journal_extent")
LIFT_JOURNAL = Script("lift_journal")
TAKE_LEASE = Script("take_lease")
GIVE_BACK_LEASE = Script("give_back_lease")

SCRIPTS = (
    RESERVE, COMMIT, RELEASE, RESIZE, DUE, SWEEP, GRANT, VOID, EXTEND, LOOK, AUDIT,
    CREATE_CUSTOMER, SET_POOL_CAP, CREATE_KEY, REVOKE_KEY, BEGIN_ONCE,
    ADVANCE_JOURNAL, JOURNAL_EXTENT, LIFT_JOURNAL, TAKE_LEASE, GIVE_BACK_LEASE,
)  # fmt: skip
