"""What is suggested for copying: the right address, the right key header, a request that the first rule is about."""

from pathlib import Path

import pytest

from sidecar.cli import banner
from sidecar.config.load import load
from sidecar.domain.amounts import CREDITS
from sidecar.services.reloading import Reloading
from sidecar.store.address import parse_address
from sidecar.store.lanes import make_lane
from sidecar.store.shifted_lane import Shift
from sidecar.wiring import Sidecar


def up(tmp_path: Path, rules: str, **environ: str) -> Sidecar:
    """A sidecar that looks as if it ran."""
    (tmp_path / "rules.yaml").write_text(f"version: 1\nrules: {rules}\n")
    settings = load(environ={"SIDECAR_UPSTREAM_URL": "http://u", **environ}).settings
    address = parse_address(settings.store.url or "unix:///s")
    loaded = Reloading([tmp_path / "rules.yaml"], {"credits": CREDITS})
    sidecar = Sidecar(settings, loaded, make_lane(address), address, Shift())
    sidecar.proxy_port, sidecar.control_port = 8080, 8081
    return sidecar


def printed(capsys: pytest.CaptureFixture[str], sidecar: Sidecar) -> str:
    banner.print_up(sidecar)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("rule", "curl"),
    [
        (
            "{name: a, match: {path: '/**'}, price: {flat: 1}}",
            "http://127.0.0.1:8080/ -H 'authorization: Bearer KEY'",
        ),
        (
            "{name: a, match: {path: /a, method: POST}, price: {flat: 1}, identity: [{api_key: {header: X-Key}}]}",
            "http://127.0.0.1:8080/a -H 'x-key: KEY' -H 'content-type: application/json' -d '{}'",
        ),
        (
            "{name: a, match: {path: '/r/{size}', method: DELETE}, price: {flat: 1}}",
            "'http://127.0.0.1:8080/r/{size}' -H 'authorization: Bearer KEY' -X DELETE",
        ),
    ],
)
def test_a_request_that_the_first_rule_is_about(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, rule: str, curl: str
) -> None:
    free = "{name: f, match: {path: /free}, free: true}"
    assert f"  curl -i {curl}\n" in printed(capsys, up(tmp_path, f"[{free}, {rule}]"))


def test_the_default_addresses_need_no_options(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = printed(capsys, up(tmp_path, "[{name: a, match: {path: /a}, price: {flat: 1}}]"))
    assert "\n  sidecar grant alice 100\n  sidecar keys create alice\n" in out
    assert "\x1b" not in out


def test_a_wildcard_address_is_no_destination(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    listens = {"SIDECAR_PROXY_LISTEN": "0.0.0.0:8080", "SIDECAR_CONTROL_LISTEN": "0.0.0.0:8081"}
    out = printed(capsys, up(tmp_path, "[{name: a, match: {path: /a}, price: {flat: 1}}]", **listens))
    assert "  curl -i http://127.0.0.1:8080/a " in out
    assert "\n  sidecar grant alice 100\n" in out


def test_no_secret_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secrets = {
        "SIDECAR_ADMIN_KEY": "ck_live_hush-hush-hush-hush",
        "SIDECAR_STORE_URL": "redis://:hush@host",
        "SIDECAR_UPSTREAM_HEADERS": "X-Key: hush",
    }
    out = printed(capsys, up(tmp_path, "[{name: a, match: {path: /a}, price: {flat: 1}}]", **secrets))
    assert "  store      redis://:***@host:6379\n" in out
    assert "  admin key  from the settings\n" in out
    assert "hush" not in out


def test_a_gate_says_who_asks_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rules = "[{name: a, match: {path: /a}, price: {flat: 1}}]"
    shown = printed(capsys, up(tmp_path, rules, SIDECAR_PROXY_FORWARD_AUTH="traefik"))
    assert "gate       http://127.0.0.1:8080, asked by traefik\n" in shown
    assert "curl" not in shown
