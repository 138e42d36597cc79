"""What the settings of the upstream become: its addresses, with connections and with how requests are written."""

import ssl
from urllib.parse import SplitResult, urlsplit

from sidecar.config.settings import Forwarding, Settings
from sidecar.domain.errors import StartupError
from sidecar.http1.engine import Engine
from sidecar.http1.fields import Pairs, RequestPolicy
from sidecar.http1.pool import Pool
from sidecar.http1.upstream import Origin
from sidecar.proxy.upstreams import Address, Upstreams
from sidecar.services.breaker import Breaker

_NOBODY = "http://localhost"
"""Stands for the upstream of a process that forwards nothing."""


def upstreams_of(settings: Settings, engine: Engine, credential: Pairs = ()) -> Upstreams:
    """All addresses, those of `upstream.url` first; `credential` is set in every request.

    StartupError when the authorities' file cannot be read.
    """
    upstream = settings.upstream
    addresses = [
        Address(
            pool=Pool(
                engine,
                origin_of(settings, url),
                connections_max=upstream.connections_max,
                idle_max=upstream.idle_connections_max,
                idle_timeout_s=upstream.idle_timeout_s,
                waiting_max=upstream.waiting_max,
            ),
            policy=policy_of(settings, url, credential),
            breaker=Breaker(
                failures_max=upstream.breaker_failures,
                pause_first_s=upstream.breaker_pause_s,
                pause_most_s=upstream.breaker_pause_max_s,
            ),
        )
        for url in map(urlsplit, dict.fromkeys((upstream.url or _NOBODY, *upstream.urls)))
    ]
    return Upstreams(addresses, statuses=frozenset(upstream.breaker_statuses), retry_ratio=upstream.retry_ratio)


def origin_of(settings: Settings, url: SplitResult) -> Origin:
    """StartupError when the authorities' file cannot be read."""
    assert url.hostname, "the settings have been checked"
    if url.scheme != "https":
        return Origin(host=url.hostname, port=url.port or 80)
    ca_file = settings.upstream.tls_ca_file
    try:
        tls = ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise StartupError(
            f"upstream.tls_ca_file {ca_file} cannot be used: {error.strerror or error}; "
            "it must be a PEM file of certificate authorities."
        ) from error
    tls.set_alpn_protocols(["http/1.1"])
    if not settings.upstream.tls_verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return Origin(host=url.hostname, port=url.port or 443, tls=tls)


def policy_of(settings: Settings, url: SplitResult, credential: Pairs = ()) -> RequestPolicy:
    forwarding = settings.proxy.forwarding
    return RequestPolicy(
        host=url.netloc.rpartition("@")[2].encode("ascii"),
        preserve_host=settings.upstream.preserve_host,
        path_prefix=url.path.rstrip("/").encode("ascii"),
        set=(*((name.encode(), value.encode()) for name, value in settings.upstream.headers.items()), *credential),
        x_forwarded=forwarding in (Forwarding.X_FORWARDED, Forwarding.BOTH),
        forwarded=forwarding in (Forwarding.FORWARDED, Forwarding.BOTH),
        trust_forwarded=settings.proxy.trust_forwarded,
        via=settings.proxy.via,
    )
