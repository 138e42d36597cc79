from collections.abc import AsyncIterator

import pytest

from sidecar.store.lane import Lane
from tests.support.control import Control, serving


@pytest.fixture
async def control(lane: Lane) -> AsyncIterator[Control]:
    async with serving(lane) as control:
        yield control
