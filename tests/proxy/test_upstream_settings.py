"""What the settings of the upstream become: addresses, certificates, and how requests are written."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from sidecar.config.settings import Forwarding, Proxy, Settings, Upstream
from sidecar.domain.errors import StartupError
from sidecar.http1.engine import Engine, Limits
from sidecar.http1.fields import RequestPolicy
from sidecar.http1.upstream import Origin
from sidecar.proxy.upstream_settings import origin_of, policy_of, upstreams_of
from tests.http1.stage import refuse


def upstream(url: str, **more: object) -> Settings:
    return Settings(upstream=Upstream(url=url, **more))  # type: ignore[arg-type]  # Each test names real settings.


def origin(url: str, **more: object) -> Origin:
    return origin_of(upstream(url, **more), urlsplit(url))


def policy(settings: Settings) -> RequestPolicy:
    return policy_of(settings, urlsplit(settings.upstream.url))


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("http://api.example", "api.example", 80, False),
        ("http://127.0.0.1:9000/v1/", "127.0.0.1", 9000, False),
        ("https://api.example", "api.example", 443, True),
        ("https://[::1]:8443", "::1", 8443, True),
    ],
)
def test_origins(url: str, host: str, port: int, tls: bool) -> None:
    made = origin(url)
    assert (made.host, made.port, made.tls is not None) == (host, port, tls)


def test_tls_is_verified_unless_it_shall_not_be() -> None:
    verified = origin("https://a").tls
    careless = origin("https://a", tls_verify=False).tls
    assert verified is not None
    assert careless is not None
    assert (verified.verify_mode.name, verified.check_hostname) == ("CERT_REQUIRED", True)
    assert (careless.verify_mode.name, careless.check_hostname) == ("CERT_NONE", False)


@pytest.mark.parametrize("text", [None, "no certificate"])
def test_an_authorities_file_that_cannot_be_used(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StartupError, match=r"ca\.pem cannot be used: .*; it must be a PEM file"):
        origin("https://a", tls_ca_file=str(path))


def test_policies() -> None:
    made = policy(upstream("http://api.example:81/base/", headers={"X-A": "b"}, preserve_host=True))
    assert (made.host, made.path_prefix, made.set) == (b"api.example:81", b"/base", ((b"X-A", b"b"),))
    assert (made.preserve_host, made.via, made.trust_forwarded) == (True, True, False)
    for forwarding, expected in {
        Forwarding.X_FORWARDED: (True, False),
        Forwarding.FORWARDED: (False, True),
        Forwarding.BOTH: (True, True),
        Forwarding.NONE: (False, False),
    }.items():
        settings = replace(upstream("http://a"), proxy=Proxy(forwarding=forwarding))
        assert (policy(settings).x_forwarded, policy(settings).forwarded) == expected


async def test_further_addresses_have_a_name_and_a_prefix_of_their_own() -> None:
    settings = upstream("http://a/v1", urls=["http://b:81/v2"], breaker_failures=7)
    first, second = upstreams_of(settings, Engine(Limits(), refuse)).addresses
    assert (first.policy.host, first.policy.path_prefix) == (b"a", b"/v1")
    assert (second.policy.host, second.policy.path_prefix) == (b"b:81", b"/v2")
    assert str(second.pool.origin) == "http://b:81"
