"""The client on a real control API, and on servers that misbehave."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.client import SidecarClient
from sidecar.store.lane import Lane
from tests.support.control import ADMIN_KEY, Control, serving

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def control(lane: Lane) -> AsyncIterator[Control]:
    async with serving(lane) as control:
        yield control


@pytest.fixture
async def client(control: Control) -> AsyncIterator[SidecarClient]:
    async with SidecarClient(control.url, ADMIN_KEY) as client:
        yield client


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """A server that answers everything by `handler`; its URL."""
    app = web.Application()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield f"http://127.0.0.1:{server.port}"
