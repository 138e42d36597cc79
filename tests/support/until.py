"""Waiting for a condition, with a bound: never for a time."""

import asyncio
import time
from collections.abc import Awaitable, Callable

BOUND_S = 20.0
STEP_S = 0.005


async def until(condition: Callable[[], object], what: str) -> None:
    """Let the loop run until `condition()` is true; AssertionError that names `what` when it never is."""
    give_up_at = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {BOUND_S:g} s in vain for {what}"
        await asyncio.sleep(STEP_S)


def until_sync(condition: Callable[[], object], what: str) -> None:
    """The same outside a loop."""
    give_up_at = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < give_up_at, f"waited {BOUND_S:g} s in vain for {what}"
        time.sleep(STEP_S)


async def until_async(condition: Callable[[], Awaitable[object]], what: str) -> None:
    """The same for a condition that has to be awaited."""
    give_up_at = time.monotonic() + BOUND_S
    while not await condition():
        assert time.monotonic() < give_up_at, f"waited {BOUND_S:g} s in vain for {what}"
        await asyncio.sleep(STEP_S)
