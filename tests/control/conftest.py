from collections.abc import AsyncIterator

import pytest

from sidecar.store.lane import Lane
from tests.support.control import Control, serving


@pytest.fixture
async def impatient(lane: Lane) -> AsyncIterator[Control]:
    """One that waits for the archive no longer than a test does that takes it away."""
    async with serving(lane, archive_timeout_s=0.1) as control:
        yield control


@pytest.fixture
async def control(lane: Lane) -> AsyncIterator[Control]:
    async with serving(lane) as control:
        yield control
