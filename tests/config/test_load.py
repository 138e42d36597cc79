"""Settings from four sources: who wins, where values came from, and every problem at once."""

from pathlib import Path

import pytest

from sidecar.config.load import Flag, Loaded, load
from sidecar.config.problems import ConfigError
from sidecar.config.settings import Settings, UnitSection


def problems(file: Path, environ: dict[str, str] | None = None, flags: dict[str, Flag] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file, environ or {}, flags)
    return [problem.render() for problem in caught.value.problems]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sidecar.yaml"


def loaded(file: Path, text: str, flags: dict[str, Flag] | None = None, **environ: str) -> Loaded:
    file.write_text(text)
    return load(file, environ, flags)


def test_nothing_given_is_the_defaults() -> None:
    result = load(environ={"PATH": "/bin"})
    assert result.settings == Settings()
    assert set(result.origins.values()) == {"default"}


def test_later_sources_win_and_are_remembered(file: Path) -> None:
    result = loaded(
        file,
        "upstream: {url: http://file}\nproxy:\n  listen: 127.0.0.1:1\n  via: false\nlog: {level: debug}\n",
        {"upstream.url": Flag("--upstream", "http://flag")},
        SIDECAR_UPSTREAM_URL="http://environment",
        SIDECAR_PROXY_LISTEN="127.0.0.1:2",
    )
    settings, origins = result.settings, result.origins
    assert (settings.upstream.url, origins["upstream.url"]) == ("http://flag", "--upstream")
    assert (settings.proxy.listen, origins["proxy.listen"]) == ("127.0.0.1:2", "SIDECAR_PROXY_LISTEN")
    assert (settings.proxy.via, origins["proxy.via"]) == (False, f"{file}:4")
    assert (settings.log.level, origins["log.level"]) == ("debug", f"{file}:5")
    assert origins["control.listen"] == "default"


def test_lists_replace_and_mappings_merge(file: Path) -> None:
    result = loaded(
        file,
        "rules: {paths: [one.yaml]}\nunits: {tokens: {scale: 0}}\nupstream: {headers: {X-A: file, X-B: file}}\n",
        {"upstream.headers": Flag("--upstream-header", ["x-b: flag"]), "rules.paths": Flag("--rules", ["two.yaml"])},
        SIDECAR_UNITS="seconds:3,tokens:1",
    )
    settings = result.settings
    assert settings.rules.paths == ["two.yaml"]
    assert settings.upstream.headers == {"X-A": "file", "x-b": "flag"}
    assert settings.units == {
        "credits": UnitSection(scale=6),
        "tokens": UnitSection(scale=1),
        "seconds": UnitSection(scale=3),
    }
    assert result.origins["upstream.headers"] == f"{file}:3, --upstream-header"


def test_the_file_can_be_named_by_the_environment(file: Path) -> None:
    file.write_text("tenant: acme\n")
    assert load(environ={"SIDECAR_CONFIG": str(file)}).settings.tenant == "acme"


def test_paths_in_a_file_start_at_its_folder(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/alice")
    text = (
        "data: {dir: state}\nrules: {paths: [rules/a.yaml, /etc/b.yaml, ~/c.yaml]}\nupstream: {tls_ca_file: ca.pem}\n"
    )
    settings = loaded(file, text).settings
    assert settings.data.dir == str(file.parent / "state")
    assert settings.rules.paths == [str(file.parent / "rules/a.yaml"), "/etc/b.yaml", "/home/alice/c.yaml"]
    assert settings.upstream.tls_ca_file == str(file.parent / "ca.pem")
    assert load(environ={"SIDECAR_DATA_DIR": "state"}).settings.data.dir == "state"


def test_what_has_no_value_sets_nothing(file: Path) -> None:
    text = "proxy:\nupstream:\n  url:\n  headers:\nunits:\n"
    assert loaded(file, text, SIDECAR_TENANT="").settings == Settings()
    assert loaded(file, "# nothing\n").settings == Settings()


def test_headers_take_values_from_the_environment(file: Path) -> None:
    result = loaded(
        file,
        "upstream: {headers: {Authorization: 'Bearer ${KEY}'}}\n",
        {"upstream.headers": Flag("--upstream-header", ["X-Other: ${KEY}-${OTHER}"])},
        KEY="k",
        OTHER="o",
    )
    assert result.settings.upstream.headers == {"Authorization": "Bearer k", "X-Other": "k-o"}


def test_a_variable_that_is_not_set_is_an_error(file: Path) -> None:
    file.write_text("upstream:\n  headers:\n    Authorization: Bearer ${OPENAI_API_KEY}\n")
    (problem,) = problems(file)
    message = "upstream.headers.Authorization names ${OPENAI_API_KEY}, which is not set in the environment"
    assert problem == f"{file}:3:20: {message}\n      = export OPENAI_API_KEY=… before starting"


def test_all_problems_of_all_sources_at_once(file: Path) -> None:
    file.write_text("proxi: {}\nproxy:\n  listen: 8080\n  forwardin: both\nlimits: text\nlog:\n  access: 1\n")
    found = problems(
        file,
        {"SIDECAR_TIMEOUTS_TOTAL_S": "soon", "SIDECAR_UPSTREAM_ULR": "http://a"},
        {"control.listen": Flag("--control-listen", "nowhere")},
    )
    listen = "must be HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:8080 or [::1]:8080"
    caret = "\n      |           ^"
    assert found == [
        f"{file}:1:1: unknown key `proxi`\n      = did you mean `proxy`?",
        f"{file}:3:11: proxy.listen {listen}; got `8080`\n    3 |   listen: 8080{caret}",
        f"{file}:4:3: unknown key `forwardin` in `proxy`\n      = did you mean `forwarding`?",
        f"{file}:5:9: `limits` must be a mapping of settings",
        f"{file}:7:11: log.access must be true or false; got `1`\n    7 |   access: 1{caret}",
        "SIDECAR_TIMEOUTS_TOTAL_S: timeouts.total_s must be a number above 0 and at most 86400; got `soon`",
        "SIDECAR_UPSTREAM_ULR: sets nothing: no setting has this name\n      = did you mean `SIDECAR_UPSTREAM_URL`?",
        f"--control-listen: control.listen {listen}; got `nowhere`",
    ]


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("admin: {key: hush-hush}\n", {}),
        ("store: {url: 'http://:hush-hush@host'}\n", {}),
        ("store: {ulr: 'redis://:hush-hush@host'}\n", {}),
        ("stor: {url: 'redis://:hush-hush@host'}\n", {}),
        ("admin: hush-hush\n", {}),
        ("upstream: {headers: {Authorization: [hush-hush]}}\n", {}),
        ("upstream: {headers: {Host: hush-hush}}\n", {}),
        ("upstream: {headers: {Authorization: hush-hush\n", {}),
        ("admin: {key: hush-hush, key: hush-hush}\n", {}),
        ("", {"SIDECAR_ADMIN_KEY": "hush-hush"}),
        ("", {"SIDECAR_STORE_URL": "http://hush-hush"}),
        ("", {"SIDECAR_UPSTREAM_HEADERS": "hush-hush"}),
        ("", {"SIDECAR_UPSTREAM_HEADERS": "X-Key: ${HUSH}hush-hush"}),
        ("", {"SIDECAR_ADMIN_KEE": "hush-hush"}),
    ],
)
def test_no_problem_shows_a_secret(file: Path, text: str, environ: dict[str, str]) -> None:
    file.write_text(text)
    shown = "\n".join(problems(file, environ))
    assert "hush-hush" not in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "must be a mapping of sections"),
        ("just text\n", "must be a mapping of sections"),
        ("a: {b\n", "not valid YAML"),
        ("proxy: {via: true}\nproxy: {via: false}\n", "`proxy` is set twice"),
        ("proxy: {via: on}\n", "is a boolean to some YAML readers"),
    ],
)
def test_a_file_that_is_no_settings_file(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    assert said in problems(file)[0]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.yaml", {"SIDECAR_LOG_LEVEL": "loud"}) == [
        f"{tmp_path / 'none.yaml'}: no such file",
        "SIDECAR_LOG_LEVEL: log.level must be debug, info, warning or error; got `loud`",
    ]
