"""The clock of the `test` environment: time passes there when somebody says so."""

from datetime import datetime
from typing import Annotated

from msgspec import Meta

from sidecar.control.credit_schema import Instant
from sidecar.control.endpoint import Body, Call, Given, Query, Repeat, endpoint
from sidecar.control.schema import Asked, Nothing, Wire, epoch_ms, instant
from sidecar.domain.errors import NotFound
from sidecar.domain.scopes import Scope
from sidecar.services.clock import Clock
from sidecar.store.clocks import AHEAD_MAX_MS, Move

_PATH = "/v1/test/clock"
_MS = 1000


class SetClock(Asked, frozen=True, kw_only=True):
    now: Annotated[Instant, Meta(description="What time it is from now on; it goes on from there.")]


class AdvanceClock(Asked, frozen=True, kw_only=True):
    seconds: Annotated[int, Meta(ge=1, le=AHEAD_MAX_MS // _MS, description="So much time passes at once.")]


class ClockView(Wire, frozen=True, kw_only=True):
    now: Annotated[datetime, Meta(description="What time it is in this environment.")]
    real_now: datetime
    ahead_seconds: Annotated[float, Meta(description="How far it is ahead of the real time.")]


async def show_clock(call: Call[Nothing, Nothing]) -> Given[ClockView]:
    """What time it is in the `test` environment."""
    return Given(_view(_clock(call)))


async def set_clock(call: Call[SetClock, Nothing]) -> Given[ClockView]:
    """Let it be another time in the `test` environment, later than it is there; it goes on from there.

    Whatever falls due until then does: blocks expire, holds lapse, windows end. Other processes follow within half a
    second.
    """
    clock = _clock(call)
    await clock.move(Move.TO, epoch_ms(call.body.now, "now"))
    return Given(_view(clock))


async def advance_clock(call: Call[AdvanceClock, Nothing]) -> Given[ClockView]:
    """Let time pass in the `test` environment, at once."""
    clock = _clock(call)
    await clock.move(Move.BY, call.body.seconds * _MS)
    return Given(_view(clock))


def _clock(call: Call[Body, Query]) -> Clock:
    if call.parts.clock is None:
        raise NotFound("The clock of live is the real one; that of test can be moved, with a control key of test.")
    return call.parts.clock


def _view(clock: Clock) -> ClockView:
    now_ms = clock.now_ms
    return ClockView(
        now=instant(now_ms),
        real_now=instant(now_ms - clock.ahead_ms),
        ahead_seconds=clock.ahead_ms / _MS,
    )


ENDPOINTS = (
    endpoint("GET", _PATH, show_clock, {200: "The clock."}, scope=Scope.ADMIN_READ),
    endpoint("PUT", _PATH, set_clock, {200: "The clock, as it is now."}, Repeat.RECORDED, scope=Scope.ADMIN_WRITE),
    endpoint(
        "POST",
        f"{_PATH}/advance",
        advance_clock,
        {200: "The clock, as it is now."},
        Repeat.RECORDED,
        scope=Scope.ADMIN_WRITE,
    ),
)
