"""What the text of a setting must look like."""

import pytest

from sidecar.config.values import KINDS, Endpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("localhost:0", "localhost", 0),
        ("[::1]:65535", "::1", 65535),
        ("0.0.0.0:80", "0.0.0.0", 80),
    ],
)
def test_an_endpoint_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    endpoint = Endpoint.parse(text)
    assert endpoint == Endpoint(host, port)
    assert str(endpoint) == text


@pytest.mark.parametrize(
    "text",
    ["", "8080", ":8080", "host:", "host:x", "host:65536", "host:-1", "::1:80", "a b:80", "u@h:80", "h:٣", "h/:1"],
)
def test_what_is_no_endpoint(text: str) -> None:
    assert Endpoint.parse(text) is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("http_url", ""),
        ("http_url", "http://127.0.0.1:9000"),
        ("http_url", "https://api.example.com/v1"),
        ("http_url", "http://[::1]:9000/"),
        ("store_url", ""),
        ("store_url", "rediss://user:password@host"),
        ("store_url", "unix:///run/store"),
        ("admin_key", ""),
        ("admin_key", "ck_test_0123456789abcdef"),
        ("header_name", "X-Api-Key"),
        ("header_value", "Bearer abc def"),
        ("header_value", ""),
        ("unit_name", "gpu_seconds"),
        ("name", "acme.eu-1"),
        ("object_name", ""),
        ("object_name", "rules.v2-eu"),
        ("image", ""),
        ("image", "registry.example.com:5000/sidecar@sha256:00ff"),
        ("cpu", "0.25"),
        ("cpu", "50m"),
        ("memory", "1.5Gi"),
        ("memory", ""),
        ("cluster_version", ""),
        ("cluster_version", "1.32"),
        ("cluster_version", "v1.33.4-gke.1+2"),
        ("path", "/etc/ca.pem"),
    ],
)
def test_good_values(kind: str, text: str) -> None:
    assert KINDS[kind](text) is None


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        ("http_url", "ftp://host", "must be a URL such as"),
        ("object_name", "Rules", "must be named as objects in Kubernetes are"),
        ("object_name", "a" * 254, "must be named as objects in Kubernetes are"),
        ("image", "a b", "must be an image such as"),
        ("cpu", "1 core", "must be an amount of CPU such as"),
        ("memory", "64MB", "must be an amount of memory such as"),
        ("cluster_version", "1", "must be a version of Kubernetes such as"),
        ("cluster_version", "v2.1", "must be a version of Kubernetes such as"),
        ("http_url", "127.0.0.1:9000", "must be a URL such as"),
        ("http_url", "http://", "must be a URL such as"),
        ("http_url", "http://host:0", "must be a URL such as"),
        ("http_url", "http://host:99999", "must be a URL such as"),
        ("http_url", "http://[::1", "must be a URL such as"),
        ("http_url", "http://u:p@host", "must not hold a user name or password"),
        ("http_url", "http://host/?", "must not have a query"),
        ("http_url", "http://host/a#b", "must not have a query or a fragment"),
        ("http_url", "http://host/ä", "must be ASCII"),
        ("http_url", "http://host/a b", "must be ASCII without spaces"),
        ("store_url", "http://host", "must begin with redis://"),
        ("admin_key", "secret", "must be ck_live_ or ck_test_"),
        ("admin_key", "ck_live_short", "at least 16"),
        ("header_name", "X Api", "must be named as headers are"),
        ("header_name", "", "must be named as headers are"),
        ("header_name", "Content-Length", "the proxy itself does"),
        ("header_name", "HOST", "the proxy itself does"),
        ("header_value", "a\r\nb: c", "without control characters"),
        ("header_value", " a", "without spaces around it"),
        ("header_value", "a\n", "without control characters"),
        ("unit_name", "Tokens", "must be named with a small letter"),
        ("name", "-a", "must be a letter or digit"),
        ("name", "a\n", "must be a letter or digit"),
        ("path", "a\0b", "NUL"),
    ],
)
def test_bad_values_are_told_what_would_be_right(kind: str, text: str, said: str) -> None:
    complaint = KINDS[kind](text)
    assert complaint is not None
    assert said in complaint
