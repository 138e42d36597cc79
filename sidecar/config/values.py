"""What the text of a setting must look like, by kind. Pure: nothing is resolved, opened or connected to here.

A check answers with what is wrong, as the end of a sentence that begins with the setting's name, or with None. It
never repeats the value: the caller knows which settings are secret.
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z", re.ASCII)
_UNIT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}\Z", re.ASCII)
_ADMIN_KEY = re.compile(r"ck_(live|test)_[A-Za-z0-9_-]{16,}\Z", re.ASCII)
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?\Z", re.ASCII)
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,510}\Z", re.ASCII)
_CPU = re.compile(r"([0-9]{1,9}m|[0-9]{1,6}(\.[0-9]{1,3})?)\Z", re.ASCII)
_MEMORY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?\Z", re.ASCII)
_CLUSTER_VERSION = re.compile(r"v?1\.[0-9]{1,3}([.+-][A-Za-z0-9.+-]*)?\Z", re.ASCII)
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z", re.ASCII)
_FIELD_VALUE = re.compile(r"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\Z")

OURS: Final = frozenset(
    {
        *("content-length", "transfer-encoding", "trailer", "te", "expect"),
        *("connection", "keep-alive", "proxy-connection", "upgrade", "host"),
    }
)
"""Header names that the proxy itself must set: framing, connection and the authority."""


class Endpoint(msgspec.Struct, frozen=True):
    """Where to listen. `host` has no brackets; port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Endpoint | None":
        """``127.0.0.1:8080``, ``[::1]:8080`` or ``localhost:8080``; None for anything else."""
        host, colon, digits = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            return None
        if not (colon and host and digits.isascii() and digits.isdigit()) or int(digits) > 65_535:
            return None
        return None if any(c.isspace() or c in "/@" for c in host) else cls(host, int(digits))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen(text: str) -> str | None:
    if Endpoint.parse(text) is None:
        return "must be HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:8080 or [::1]:8080"
    return None


def listen_or_none(text: str) -> str | None:
    return listen(text) if text else None


def http_url(text: str) -> str | None:
    """An origin with an optional path prefix: credentials, query and fragment have no place in it."""
    if not text:
        return None
    parts = _split(text)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return "must be a URL such as http://127.0.0.1:9000 or https://api.example.com/v1"
    if "@" in parts.netloc:
        return "must not hold a user name or password; set upstream.headers instead"
    if "?" in text or "#" in text:
        return "must not have a query or a fragment"
    if any(not 0x21 <= ord(c) <= 0x7E for c in text):
        return "must be ASCII without spaces; write others percent-encoded, and the host in its xn-- form"
    return None


def url_path(text: str) -> str | None:
    """The path of a URL, perhaps with a query."""
    if text and (text[0] != "/" or any(not 0x21 <= ord(c) <= 0x7E for c in text) or "#" in text):
        return "must be a path such as /health, in ASCII, percent-encoded"
    return None


_STORE_SCHEMES: Final = (
    "redis://", "rediss://", "unix://",
    "redis+cluster://", "rediss+cluster://", "redis+sentinel://", "rediss+sentinel://",
)  # fmt: skip


def store_url(text: str) -> str | None:
    """Only the scheme: `store.address` reads the rest, and says what is wrong with it."""
    if not text or text.startswith(_STORE_SCHEMES):
        return None
    return "must begin with redis://, rediss:// or unix://, or redis+cluster:// or redis+sentinel:// with their nodes"


def archive_url(text: str) -> str | None:
    """Only the scheme, as `store_url`."""
    if not text or text.startswith(("sqlite:///", "postgresql://", "postgres://")):
        return None
    return "must begin with sqlite:/// or postgresql://, such as postgresql://sidecar@127.0.0.1/sidecar"


def admin_key(text: str) -> str | None:
    if text and not _ADMIN_KEY.match(text):
        return "must be ck_live_ or ck_test_ and at least 16 letters, digits, - or _"
    return None


def signing_key(text: str) -> str | None:
    if text and (len(text) < 32 or not text.isascii() or not text.isprintable()):
        return "must have at least 32 ASCII characters: `openssl rand -hex 32` makes one"
    return None


def header_name(text: str) -> str | None:
    if not _FIELD_NAME.match(text):
        return "must be named as headers are: letters, digits and -, no spaces"
    if text.lower() in OURS:
        return "must not be set here: the proxy itself does"
    return None


def header_value(text: str) -> str | None:
    if not _FIELD_VALUE.match(text):
        return "must be text without control characters, and without spaces around it"
    return None


def scheme(text: str) -> str | None:
    if text and not _FIELD_NAME.match(text):
        return "must be one word, such as Bearer"
    return None


def unit_name(text: str) -> str | None:
    if not _UNIT_NAME.match(text):
        return "must be named with a small letter and up to 31 small letters, digits and _"
    return None


def name(text: str) -> str | None:
    if not _NAME.match(text):
        return "must be a letter or digit and up to 62 letters, digits, dots, - and _"
    return None


def object_name(text: str) -> str | None:
    if text and not _OBJECT_NAME.match(text):
        return "must be named as objects in Kubernetes are: small letters, digits, dots and -"
    return None


def image(text: str) -> str | None:
    return None if not text or _IMAGE.match(text) else "must be an image such as registry.example.com/sidecar:1.2.3"


def cpu(text: str) -> str | None:
    return None if not text or _CPU.match(text) else "must be an amount of CPU such as 50m or 0.5"


def memory(text: str) -> str | None:
    return None if not text or _MEMORY.match(text) else "must be an amount of memory such as 64Mi"


def cluster_version(text: str) -> str | None:
    if text and not _CLUSTER_VERSION.match(text):
        return "must be a version of Kubernetes such as 1.32 or v1.32.4"
    return None


def path(text: str) -> str | None:
    return "must not have a NUL character" if "\0" in text else None


def _split(text: str) -> SplitResult | None:
    """None also for a port that is none, which `urlsplit` finds only when asked."""
    try:
        parts = urlsplit(text)
        return None if parts.port == 0 or parts.netloc.endswith(":") else parts
    except ValueError:
        return None


KINDS: Final[dict[str, Callable[[str], str | None]]] = {
    "listen": listen,
    "listen_or_none": listen_or_none,
    "http_url": http_url,
    "url_path": url_path,
    "store_url": store_url,
    "archive_url": archive_url,
    "admin_key": admin_key,
    "signing_key": signing_key,
    "header_name": header_name,
    "header_value": header_value,
    "scheme": scheme,
    "unit_name": unit_name,
    "name": name,
    "object_name": object_name,
    "image": image,
    "cpu": cpu,
    "memory": memory,
    "cluster_version": cluster_version,
    "path": path,
}
"""The kinds that `settings` names."""
