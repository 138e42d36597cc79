"""An open lane for the time of a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sidecar.store.address import parse_address
from sidecar.store.lane import Lane
from sidecar.store.lanes import make_lane


@asynccontextmanager
async def open_lane(url: str, timeout_s: float = 5.0) -> AsyncIterator[Lane]:
    lane = make_lane(parse_address(url), timeout_s=timeout_s)
    await lane.open()
    try:
        yield lane
    finally:
        await lane.close()
