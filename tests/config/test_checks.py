"""Settings that cannot stand beside each other."""

import pytest

from sidecar.config.checks import conflicts
from sidecar.config.load import load
from sidecar.config.problems import ConfigError


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"SIDECAR_TIMEOUTS_TOTAL_S": "10", "SIDECAR_TIMEOUTS_HEAD_S": "20"},
            "timeouts.head_s can never take effect: it is larger than timeouts.total_s, 10",
        ),
        (
            {"SIDECAR_UPSTREAM_IDLE_CONNECTIONS_MAX": "2000"},
            "upstream.idle_connections_max can never take effect: it is larger than upstream.connections_max, 1024",
        ),
        (
            {"SIDECAR_LIMITS_REQUEST_LINE_MAX_BYTES": "9000", "SIDECAR_LIMITS_HEAD_MAX_BYTES": "4096"},
            "limits.request_line_max_bytes can never take effect: it is larger than limits.head_max_bytes, 4096",
        ),
        ({"SIDECAR_PROXY_LISTEN": "127.0.0.1:8081"}, "proxy.listen must differ from control.listen, 127.0.0.1:8081"),
        (
            {"SIDECAR_CONTROL_LISTEN": "127.0.0.1:8080"},
            "control.listen must differ from proxy.listen, 127.0.0.1:8080",
        ),
        (
            {"SIDECAR_PROXY_ADMIN_LISTEN": "127.0.0.1:8080"},
            "proxy.admin_listen must differ from proxy.listen, 127.0.0.1:8080",
        ),
        (
            {"SIDECAR_UPSTREAM_URL": "http://127.0.0.1:8080"},
            "upstream.url is this proxy's own address: requests would go round in a circle",
        ),
        (
            {"SIDECAR_UPSTREAM_URL": "http://a", "SIDECAR_UPSTREAM_TLS_VERIFY": "false"},
            "upstream.tls_verify has no effect: upstream.url is not https",
        ),
        (
            {"SIDECAR_UPSTREAM_URL": "http://a", "SIDECAR_UPSTREAM_CREDENTIAL_HEADER": "x-api-key"},
            "upstream.credential_header has no effect without upstream.credential_file",
        ),
        (
            {
                "SIDECAR_UPSTREAM_URL": "http://a",
                "SIDECAR_UPSTREAM_CREDENTIAL_FILE": "/key",
                "SIDECAR_UPSTREAM_HEADERS": "authorization: word",
            },
            "upstream.credential_file cannot stand beside another one: upstream.headers sets Authorization too",
        ),
        ({"SIDECAR_ADMIN_KEY": "ck_test_" + "a" * 20}, "admin.key must begin with ck_live_: `environment` says so"),
    ],
)
def test_conflicts_name_both_settings(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(environ=environ)
    assert [problem.message for problem in caught.value.problems] == [said]


@pytest.mark.parametrize(
    "environ",
    [
        {"SIDECAR_TIMEOUTS_TOTAL_S": "10"},
        {"SIDECAR_LIMITS_BODY_MAX_BYTES": "1000"},
        {"SIDECAR_UPSTREAM_CONNECTIONS_MAX": "10"},
        {"SIDECAR_PROXY_LISTEN": "127.0.0.1:0", "SIDECAR_CONTROL_LISTEN": "127.0.0.1:0"},
        {"SIDECAR_ADMIN_KEY": "ck_test_" + "a" * 20, "SIDECAR_ENVIRONMENT": "test"},
        {"SIDECAR_UPSTREAM_URL": "https://a", "SIDECAR_UPSTREAM_TLS_VERIFY": "false"},
    ],
)
def test_lowering_a_bound_needs_no_further_change(environ: dict[str, str]) -> None:
    assert list(conflicts(load(environ=environ).settings, ())) == []
