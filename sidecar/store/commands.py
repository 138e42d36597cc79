"""Commands as bytes: packing, and the Lua scripts. It sends nothing.

A script is one file in `lua/`, one atomic operation, with its KEYS, ARGV and outcomes in its header. What several of
them need stands in `lua/shared/` and comes in where a line says ``--- include amounts clock``: Redis defines every
function anew in each call, so a script first does what needs none. The line numbers of Redis are mapped back.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources

_INCLUDE = "--- include "
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

    def __init__(self, name: str, before: str = "") -> None:
        """`before`: a file that stands before it."""
        self.name = name
        self._load([*(_included(before) if before else ()), *_included(f"{name}.lua")])
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
        return _LINE.sub(lambda match: self._places[int(match[1]) - 1], message)

    def _load(self, lines: list[tuple[str, str]]) -> None:
        """From lines with the place where each stands."""
        self.text = "".join(line for _, line in lines)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest().encode()
        self._places = [place for place, _ in lines]
        self._by_digest = bulk(b"EVALSHA") + bulk(self.sha)
        self._by_text = bulk(b"EVAL") + bulk(self.text.encode())

    def _head(self, keys: int, arguments: int) -> bytes:
        return b"*%d\r\n" % (3 + keys + arguments) + self._by_digest + bulk(b"%d" % keys)


@cache
def shifted() -> Mapping[bytes, Script]:
    """By its digest, each script that goes by the time, as one that goes by a shifted clock.

    It wants one argument more, the last: how far the clock is ahead of the server's, in ms.
    """
    by_time = (script for script in SCRIPTS if "'TIME'" in script.text or "'XADD'" in script.text)
    return {script.sha: Script(script.name, before="shifted/begin.lua") for script in by_time}


def sha_of(packed: bytes) -> bytes:
    """The digest in a packed EVALSHA; nothing for other commands."""
    start = packed.find(b"$7\r\nEVALSHA\r\n$40\r\n", 0, 32)
    return packed[start + 18 : start + 58] if start > 0 else b""


def script_of(packed: bytes) -> Script | None:
    """Which script a packed command calls, by its digest or with its whole text; None: none of ours."""
    if not (sha := sha_of(packed) or _sha_of_text(packed)):
        return None
    # Where nobody moves a clock, its variants are never read.
    found = next((script for script in SCRIPTS if script.sha == sha), None)
    return found or next((script for script in shifted().values() if script.sha == sha), None)


def _sha_of_text(packed: bytes) -> bytes:
    """The digest of the script in a packed EVAL; nothing for other commands."""
    start = packed.find(b"$4\r\nEVAL\r\n$", 0, 32)
    if start < 0:
        return b""
    size, _, rest = packed[start + 11 :].partition(b"\r\n")
    return hashlib.sha1(rest[: int(size)], usedforsecurity=False).hexdigest().encode()


def _included(file: str) -> Iterator[tuple[str, str]]:
    """The lines of a file and of what it includes, each with its place, such as ``reserve.lua:20``."""
    text = resources.files("sidecar.store").joinpath("lua", file).read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        if line.startswith(_INCLUDE):
            for part in line.removeprefix(_INCLUDE).split():
                yield from _included(f"shared/{part}.lua")
        else:
            yield f"{file}:{number}", line


RESERVE = Script("reserve")
COMMIT = Script("commit")
RELEASE = Script("release")
RESIZE = Script("resize")
CHARGE = Script("charge")
DUE = Script("due")
SWEEP = Script("sweep")
PUT_OFF = Script("put_off")
GRANT = Script("grant")
VOID = Script("void")
TAKE = Script("take")
TRANSFER = Script("transfer")
PURCHASE = Script("purchase")
TURN_PERIOD = Script("turn_period")
REFUND = Script("refund")
CHARGEBACK = Script("chargeback")
EXTEND = Script("extend")
LOOK = Script("look")
CHECK = Script("check")
CLAIM_REQUEST = Script("claim_request")
UNCLAIM_REQUEST = Script("unclaim_request")
KEEP_ANSWER = Script("keep_answer")
AUDIT = Script("audit")
RESTORE_ACCOUNT = Script("restore_account")
RESTORE_CUSTOMER = Script("restore_customer")
CLAIM = Script("claim")
UNCLAIM = Script("unclaim")
CREATE_CUSTOMER = Script("create_customer")
UPDATE_CUSTOMER = Script("update_customer")
HAND_OVER = Script("hand_over")
SET_POOL_CAP = Script("set_pool_cap")
SET_SPEND_CAPS = Script("set_spend_caps")
SPEND_CAPS = Script("spend_caps")
CREATE_KEY = Script("create_key")
CHANGE_KEY = Script("change_key")
REVOKE_KEY = Script("revoke_key")
BEGIN_ONCE = Script("begin_once")
ADVANCE_JOURNAL = Script("advance_journal")
JOURNAL_EXTENT = Script("journal_extent")
LIFT_JOURNAL = Script("lift_journal")
MOVE_CLOCK = Script("move_clock")
TAKE_LEASE = Script("take_lease")
GIVE_BACK_LEASE = Script("give_back_lease")

SCRIPTS = (
    RESERVE, COMMIT, RELEASE, RESIZE, CHARGE, DUE, SWEEP, PUT_OFF, GRANT, VOID, CHARGEBACK, EXTEND, LOOK, CHECK,
    CLAIM, TAKE, REFUND, TRANSFER, PURCHASE, TURN_PERIOD,
    UNCLAIM, AUDIT, CLAIM_REQUEST, UNCLAIM_REQUEST, KEEP_ANSWER,
    RESTORE_ACCOUNT, RESTORE_CUSTOMER,
    CREATE_CUSTOMER, UPDATE_CUSTOMER, HAND_OVER, SET_POOL_CAP, SET_SPEND_CAPS, SPEND_CAPS, CREATE_KEY, CHANGE_KEY,
    REVOKE_KEY, BEGIN_ONCE, ADVANCE_JOURNAL, JOURNAL_EXTENT, LIFT_JOURNAL, MOVE_CLOCK, TAKE_LEASE, GIVE_BACK_LEASE,
)  # fmt: skip
