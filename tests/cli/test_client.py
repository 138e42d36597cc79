"""Where the control API is, its key, and what goes wrong on the way; the commands have files of their own."""

import socket
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.cli.client import Client
from tests.cli.conftest import OURS, Command, make_app
from tests.support.control import ADMIN_KEY, Control

WRONG_KEY = "ck_live_wrongwrongwrongwrong"


def assert_one_sentence(err: str, *parts: str) -> None:
    assert err.startswith("sidecar: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


async def test_the_url_of_an_option_wins(command: Command, control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_ADMIN_KEY", ADMIN_KEY)
    monkeypatch.setenv("SIDECAR_CONTROL_URL", "http://127.0.0.1:1")
    assert (await command("holds", "--control-url", control.url)).code == 0
    assert (await command("holds", "--control-url", f"{control.url}/")).code == 0
    assert (await command("holds")).code == 1


async def test_the_url_follows_from_where_the_api_listens(
    command: Command, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDECAR_ADMIN_KEY", ADMIN_KEY)
    monkeypatch.setenv("SIDECAR_CONTROL_LISTEN", control.url.removeprefix("http://"))
    assert (await command("holds")).code == 0


@pytest.mark.parametrize("by_option", [True, False])
async def test_the_key_is_found_in_the_data_folder(
    command: Command, control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_option: bool
) -> None:
    file = tmp_path / "admin-key"
    file.write_text(f"{ADMIN_KEY}\n")
    if not by_option:
        monkeypatch.setenv("SIDECAR_DATA_DIR", str(tmp_path))
    options = ["--data", str(tmp_path)] if by_option else []
    assert (await command("holds", "--control-url", control.url, *options)).code == 0


async def test_no_key(command: Command, control: Control, tmp_path: Path) -> None:
    ran = await command("holds", "--control-url", control.url, "--data", str(tmp_path / "none"))
    assert ran.code == 1
    assert_one_sentence(ran.err, "SIDECAR_ADMIN_KEY", "--data", str(tmp_path / "none"))


async def test_a_key_that_is_refused_is_not_shown(sidecar: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_ADMIN_KEY", WRONG_KEY)
    ran = await sidecar("balance", "alice")
    assert (ran.code, ran.out) == (1, "")
    assert_one_sentence(ran.err, "refused the key", "SIDECAR_ADMIN_KEY")
    assert WRONG_KEY not in ran.err


async def test_nobody_listens(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_ADMIN_KEY", ADMIN_KEY)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ran = await command("holds", "--control-url", url)
    assert ran.code == 1
    assert_one_sentence(ran.err, url, "refused", "is `sidecar run` running?")


@pytest.mark.parametrize("url", ["http://nowhere.invalid", "http://a..b", f"http://{'a' * 70}.invalid"])
async def test_an_unknown_host(command: Command, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SIDECAR_ADMIN_KEY", ADMIN_KEY)
    ran = await command("holds", "--control-url", url)
    assert ran.code == 1
    assert_one_sentence(ran.err, url)


async def test_no_answer(sidecar: Command, breaking_off: str) -> None:
    ran = await sidecar("customers", "create", "alice", "--control-url", breaking_off)
    assert ran.code == 1
    assert_one_sentence(ran.err, "may have been carried out or not")


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, "<html>"), (200, "[]"), (200, "{}"), (401, "{}"), (502, "{}"), (302, ""), (200, "\xff")],
)
async def test_another_server_answers(sidecar: Command, status: int, body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body.encode("latin-1"))

    async with TestServer(make_app(answer)) as server:
        ran = await sidecar("balance", "alice", "--control-url", f"http://127.0.0.1:{server.port}")
    assert ran.code == 1
    assert_one_sentence(ran.err, f"answered {status}", "is the URL right?")


async def test_the_detail_of_a_problem_is_what_is_said(sidecar: Command, control: Control) -> None:
    await control.customer("alice")
    await control.lane.close()
    ran = await sidecar("balance", "alice")
    assert ran.code == 1
    assert_one_sentence(ran.err, "store")


@pytest.mark.parametrize("url", ["", "ftp://x", "http://", "http://user:pw@x", "127.0.0.1:8081"])
async def test_a_url_that_is_none_is_wrong_usage(sidecar: Command, url: str) -> None:
    assert (await sidecar("holds", "--control-url", url)).code == 2


async def test_a_path_prefix_is_kept(sidecar: Command) -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.raw_path)
        page = {"data": [], "pagination": {"has_more": False, "next_cursor": None}}
        return web.json_response(page, headers=OURS)

    async with TestServer(make_app(answer)) as server:
        await sidecar("holds", "--control-url", f"http://127.0.0.1:{server.port}/control")
    assert asked == ["/control/v1/reservations?limit=250"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["customers", "show", "\udcff"],
        ["customers", "create", "alice", "--name", "\udcff"],
        ["grant", "alice", "5", "--reason", "\udcff"],
        ["keys", "revoke", "alice", "\udcff"],
    ],
)
async def test_bytes_that_are_no_text_are_wrong_usage(sidecar: Command, arguments: list[str]) -> None:
    assert (await sidecar(*arguments)).code == 2


def test_a_client_does_not_show_its_key() -> None:
    assert ADMIN_KEY not in repr(Client("http://127.0.0.1:8081", ADMIN_KEY))
