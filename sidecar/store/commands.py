"""Commands as bytes: packing, and the Lua scripts. It sends nothing.

A script is one file in `lua/`, one atomic operation, with its KEYS, ARGV and outcomes in its header. What several of
them need stands in `lua/shared/` and is put in front; the line numbers of Redis are mapped back to the file.
"""

import hashlib
import re
from importlib import resources

_LINE = re.compile(r"(?:@\s*)?user_script:(\d+)")


def bulk(data: bytes) -> bytes:
    """One argument in the Redis protocol."""
    return b"$%d\r\n%b\r\n" % (len(data), data)


def pack(*arguments: bytes | str | int) -> bytes:
    """One command in the Redis protocol."""
    values = (argument if isinstance(argument, bytes) else str(argument).encode() for argument in arguments)
    return b"*%d\r\n" % len(arguments) + b"".join(map(bulk, values))


class Script:
    """One Lua script with a fixed number of keys and arguments; `pack` makes a call of it."""

    def __init__(self, name: str, *, keys: int, arguments: int, shared: tuple[str, ...] = ()) -> None:
        self.name = name
        self.keys = keys
        self.arguments = arguments
        files = [*(f"shared/{part}.lua" for part in shared), f"{name}.lua"]
        texts = [_read(file) for file in files]
        self.text = "".join(texts)
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest().encode()
        self._lines = [(file, text.count("\n")) for file, text in zip(files, texts, strict=True)]
        size, count = b"*%d\r\n" % (3 + keys + arguments), bulk(b"%d" % keys)
        self.head = size + bulk(b"EVALSHA") + bulk(self.sha) + count
        """What a call by digest begins with; the keys follow, then the arguments, each as `bulk`."""
        self._eval_head = size + bulk(b"EVAL") + bulk(self.text.encode()) + count

    def pack(self, *values: bytes) -> bytes:
        """Call by digest: the keys, then the arguments, in the order of the header."""
        assert len(values) == self.keys + self.arguments
        return self.head + b"".join(map(bulk, values))

    def as_eval(self, packed: bytes) -> bytes:
        """The same call with the whole text, for a server that has forgotten the digest."""
        return self._eval_head + packed[len(self.head) :]

    def located(self, message: str) -> str:
        """The error message of Redis, with ``user_script:41`` written as ``reserve.lua:20``."""
        return _LINE.sub(lambda match: self._place(int(match[1])), message)

    def _place(self, line: int) -> str:
        for file, count in self._lines:
            if line <= count:
                return f"{file}:{line}"
            line -= count
        return f"{self.name}.lua:{line}"


def _read(file: str) -> str:
    return resources.files("sidecar.store").joinpath("lua", file).read_text(encoding="utf-8")


RESERVE = Script("reserve", keys=2, arguments=5, shared=("amounts", "due"))
COMMIT = Script("commit", keys=4, arguments=6, shared=("amounts", "settle", "journal"))
RELEASE = Script("release", keys=3, arguments=4, shared=("amounts", "due", "settle", "journal"))
GRANT = Script("grant", keys=3, arguments=7, shared=("amounts", "journal"))
OVERDUE = Script("overdue", keys=2, arguments=1, shared=("due",))
EXPIRE = Script("expire", keys=4, arguments=3, shared=("amounts", "due", "settle", "journal"))
CREATE_CUSTOMER = Script("create_customer", keys=1, arguments=3)
CREATE_KEY = Script("create_key", keys=2, arguments=3)
BEGIN_ONCE = Script("begin_once", keys=1, arguments=2)

SCRIPTS = (RESERVE, COMMIT, RELEASE, GRANT, OVERDUE, EXPIRE, CREATE_CUSTOMER, CREATE_KEY, BEGIN_ONCE)
