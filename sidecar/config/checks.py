"""What is wrong with settings together, each being right by itself.

A limit that another one makes meaningless is only a mistake when somebody wrote it down: lowering `timeouts.total_s`
alone needs no further change.
"""

from collections.abc import Collection, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from sidecar.config.settings import Settings, Upstream
from sidecar.config.values import Endpoint


class Conflict(msgspec.Struct, frozen=True):
    """A setting that cannot stand beside another, always one that was given; `said` follows its name."""

    name: str
    said: str


_NEVER_REACHED: Final = (
    ("timeouts.connect_s", "timeouts.total_s"),
    ("timeouts.head_s", "timeouts.total_s"),
    ("timeouts.idle_s", "timeouts.total_s"),
    ("timeouts.drain_s", "timeouts.total_s"),
    ("timeouts.tunnel_idle_s", "timeouts.tunnel_s"),
    ("limits.request_line_max_bytes", "limits.head_max_bytes"),
    ("limits.body_inspect_max_bytes", "limits.body_max_bytes"),
    ("upstream.idle_connections_max", "upstream.connections_max"),
    ("upstream.breaker_pause_s", "upstream.breaker_pause_max_s"),
)
"""Pairs of which the first, when larger than the second, never takes effect."""


def conflicts(settings: Settings, given: Collection[str]) -> Iterator[Conflict]:
    """Everything that cannot work together; `given` are the names that are not at their default."""
    for name, bound in _NEVER_REACHED:
        if name in given and _value(settings, name) > _value(settings, bound):
            yield Conflict(name, f"can never take effect: it is larger than {bound}, {_value(settings, bound):g}")
    yield from _same_address(settings, given)
    yield from _upstream(settings, given)
    key = settings.admin.key
    if key and not key.startswith(f"ck_{settings.environment}_"):
        yield Conflict("admin.key", f"must begin with ck_{settings.environment}_: `environment` says so")


def _same_address(settings: Settings, given: Collection[str]) -> Iterator[Conflict]:
    listen = settings.proxy.listen
    if listen == settings.control.listen and not listen.endswith(":0"):
        both = ("proxy.listen", "control.listen")
        name, other = both if "proxy.listen" in given else both[::-1]
        yield Conflict(name, f"must differ from {other}, {listen}")
    admin = settings.proxy.admin_listen
    for other, taken in (("proxy.listen", listen), ("control.listen", settings.control.listen)):
        if admin == taken and not admin.endswith(":0"):
            yield Conflict("proxy.admin_listen", f"must differ from {other}, {taken}")


def _upstream(settings: Settings, given: Collection[str]) -> Iterator[Conflict]:
    upstream = settings.upstream
    if not upstream.url:
        if upstream.urls:
            yield Conflict("upstream.urls", "are further addresses: name the first one as upstream.url")
        return
    for name, urls in (("upstream.url", [upstream.url]), ("upstream.urls", upstream.urls)):
        if any(settings.proxy.listen == _authority(url) for url in urls):
            yield Conflict(name, "is this proxy's own address: requests would go round in a circle")
    if upstream.urls and len({upstream.url, *upstream.urls}) <= len(upstream.urls):
        yield Conflict("upstream.urls", "name an address twice")
    yield from _credential(upstream, given)
    if all(urlsplit(url).scheme == "http" for url in (upstream.url, *upstream.urls)):
        for name in ("upstream.tls_ca_file", "upstream.tls_verify"):
            if name in given:
                yield Conflict(name, "has no effect: upstream.url is not https")


def _credential(upstream: Upstream, given: Collection[str]) -> Iterator[Conflict]:
    if not upstream.credential_file:
        for name in ("upstream.credential_header", "upstream.credential_scheme"):
            if name in given:
                yield Conflict(name, "has no effect without upstream.credential_file")
    elif upstream.credential_header.lower() in {name.lower() for name in upstream.headers}:
        also = f"upstream.headers sets {upstream.credential_header} too"
        yield Conflict("upstream.credential_file", f"cannot stand beside another one: {also}")


def _authority(text: str) -> str:
    url = urlsplit(text)
    return str(Endpoint(url.hostname or "", url.port or (443 if url.scheme == "https" else 80)))


def _value(settings: Settings, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(settings, section), key)
