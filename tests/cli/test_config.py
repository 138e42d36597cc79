"""`sidecar config`: what is in force, where it came from, and no secret."""

import json
from pathlib import Path

import pytest

from sidecar.cli.main import main
from sidecar.config.reference import as_markdown, as_yaml
from sidecar.config.types import LEAVES


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["config", *arguments])
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options and variables that set every secret."""
    monkeypatch.setenv("SIDECAR_ADMIN_KEY", "ck_live_hush-hush-hush-hush")
    monkeypatch.setenv("UPSTREAM_KEY", "hush-hush")
    return ["--store", "redis://:hush-hush@host:6379/2", "--upstream-header", "Authorization: Bearer ${UPSTREAM_KEY}"]


def test_a_table_for_people(capsys: pytest.CaptureFixture[str], secrets: list[str], tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("log: {level: debug}\n")
    table = shown(capsys, "show", "--config", str(file), "--rules", "a", "--rules", "b", *secrets)
    rows = {name: rest.split(maxsplit=1)[0] for name, rest in (row.split(maxsplit=1) for row in table.splitlines())}
    assert list(rows) == list(LEAVES)
    lines = [" ".join(line.split()) for line in table.splitlines()]
    assert f"log.level debug {file}:1" in lines
    assert "rules.paths a, b --rules" in lines
    assert "proxy.via true default" in lines
    assert "data.dir - default" in lines
    assert "units credits: {scale: 6} default" in lines
    assert "store.url redis://:***@host:6379/2 --store" in lines
    assert "upstream.headers Authorization: (secret) --upstream-header" in lines
    assert "admin.key (secret) SIDECAR_ADMIN_KEY" in lines
    assert "hush" not in table


def test_json_for_scripts(capsys: pytest.CaptureFixture[str], secrets: list[str]) -> None:
    text = shown(capsys, "show", "--json", *secrets)
    document = json.loads(text)
    assert list(document) == list(LEAVES)
    assert document["limits.headers_max"] == {"value": 128, "from": "default"}
    assert document["upstream.headers"] == {"value": {"Authorization": "(secret)"}, "from": "--upstream-header"}
    assert document["units"]["value"] == {"credits": {"scale": 6}}
    assert "hush" not in text


def test_a_store_address_that_cannot_be_read_is_masked_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert "hush" not in shown(capsys, "show", "--store", "redis://:hush@host:port/x")


def test_every_setting_as_a_file_and_as_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "reference") == as_yaml()
    assert shown(capsys, "reference", "--markdown") == as_markdown()
