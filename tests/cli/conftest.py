import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.cli.main import main
from sidecar.store.lane import Lane
from tests.support.archives import new_archive
from tests.support.control import ADMIN_KEY, Control, serving
from tests.support.town import Town, open_town


class Ran(msgspec.Struct, frozen=True):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


OURS = {"x-request-id": "req_1"}
"""By this the commands know the control API."""

Command = Callable[..., Awaitable[Ran]]


@pytest.fixture
async def control(lane: Lane) -> AsyncIterator[Control]:
    async with serving(lane) as control:
        yield control


@pytest.fixture
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No setting comes from outside, and the data folder is a new one."""
    for name in os.environ:
        if name.startswith("SIDECAR_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return monkeypatch


@pytest.fixture
def command(empty_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs one command line, as a person without any setting would; the loop goes on meanwhile."""

    async def run(*arguments: str) -> Ran:
        def work() -> int:
            with pytest.raises(SystemExit) as ended:
                main(arguments)
            assert isinstance(ended.value.code, int)
            return ended.value.code

        code = await asyncio.to_thread(work)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def sidecar(command: Command, control: Control, empty_environment: pytest.MonkeyPatch) -> Command:
    """The same, with the key and the address of `control`."""
    empty_environment.setenv("SIDECAR_ADMIN_KEY", ADMIN_KEY)
    empty_environment.setenv("SIDECAR_CONTROL_URL", control.url)
    return command


@pytest.fixture
async def breaking_off() -> AsyncIterator[str]:
    """The address of a server that lists its units, and takes every POST to break off without an answer."""

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            assert request.transport is not None
            request.transport.abort()
        units = {"data": [{"unit": "credits", "scale": 6}], "pagination": {"has_more": False, "next_cursor": None}}
        return web.json_response(units, headers=OURS)

    async with TestServer(make_app(answer)) as server:
        yield str(server.make_url("")).rstrip("/")


def make_app(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


@pytest.fixture
async def town(store_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    """One customer on the store, with an archive that has everything."""
    async with open_town(store_url, new_archive(tmp_path)) as town:
        await town.customer("alice")
        await town.grant("alice", 1000)
        await town.reserve("alice", "r1", 300)
        await town.commit("r1", 120)
        await town.reserve("alice", "r2", 50)
        await town.archived()
        yield town


@pytest.fixture
def town_settings(town: Town, store_url: str, tmp_path: Path, empty_environment: pytest.MonkeyPatch) -> None:
    """Commands find both by themselves."""
    empty_environment.setenv("SIDECAR_STORE_URL", store_url)
    empty_environment.setenv("SIDECAR_ARCHIVE_URL", f"sqlite:///{tmp_path / 'archive.db'}")
