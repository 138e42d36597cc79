"""Options become settings by their names."""

import argparse
from pathlib import Path

import pytest

from sidecar.cli import options


def parsed(*arguments: str, only: tuple[str, ...] = ()) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add(parser, *only)
    return parser.parse_args(arguments)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_UPSTREAM_URL", "http://environment")


def test_each_option_sets_its_setting(tmp_path: Path) -> None:
    loaded = options.loaded(
        parsed(
            *("--upstream", "http://flag", "--upstream-header", "X-A: 1", "--upstream-header", "X-B: 2"),
            *("--rules", "a.yaml", "--rules", "b", "--data", str(tmp_path), "--listen", "127.0.0.1:1"),
            *("--control-listen", "127.0.0.1:2", "--store", "redis://h", "--shadow"),
        )
    )
    settings = loaded.settings
    assert settings.upstream.url == "http://flag"
    assert settings.upstream.headers == {"X-A": "1", "X-B": "2"}
    assert settings.rules.paths == ["a.yaml", "b"]
    assert settings.data.dir == str(tmp_path)
    assert (settings.proxy.listen, settings.control.listen) == ("127.0.0.1:1", "127.0.0.1:2")
    assert settings.store.url == "redis://h"
    assert settings.proxy.shadow
    assert {origin for origin in loaded.origins.values() if origin.startswith("--")} == {
        "--upstream", "--upstream-header", "--rules", "--data", "--listen", "--control-listen", "--store", "--shadow",
    }  # fmt: skip


def test_absent_options_leave_the_other_sources_alone(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text("tenant: acme\n")
    loaded = options.loaded(parsed("--config", str(file)))
    assert loaded.settings.tenant == "acme"
    assert loaded.settings.upstream.url == "http://environment"


def test_a_command_takes_only_its_own() -> None:
    assert options.loaded(parsed("--data", "d", only=("--data",))).settings.data.dir == "d"
    with pytest.raises(SystemExit):
        parsed("--listen", "127.0.0.1:1", only=("--data",))


def test_the_injectors_options_are_its_own() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    options.add_of_injector(parser)
    given = parser.parse_args(["--listen", "127.0.0.1:3", "--tls-cert", "/a.crt", "--tls-key", "/a.key"])
    settings = options.loaded(given).settings
    assert settings.injector.listen == "127.0.0.1:3"
    assert (settings.injector.tls_cert_file, settings.injector.tls_key_file) == ("/a.crt", "/a.key")
    assert settings.proxy.listen == "127.0.0.1:8080"
