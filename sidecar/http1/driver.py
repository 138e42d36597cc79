"""Runs the coroutine that handles an exchange, by hand instead of as a Task.

The connection that brings the event it waits for runs it on, in the same turn of the loop. That saves a tenth of a
request's price and a tick of latency at each step. It may await futures too; what needs `asyncio.current_task()`,
such as `asyncio.timeout`, does not work in it.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from sidecar.http1.engine import Engine


log = logging.getLogger("sidecar.http1")


class _Event:
    """What a handler awaits that waits for one of the connections."""

    __slots__ = ()

    def __await__(self) -> "Generator[_Event, None, None]":
        yield self


_EVENT = _Event()


class Driven:
    """What a coroutine belongs to. `_story_failed` and `_story_ended` are for the class on top."""

    __slots__ = ("_engine", "_parked", "_story", "_waiting", "_woken")

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._story: Coroutine[Any, Any, None] | None = None
        self._parked: Callable[[], None] | None = None
        self._waiting = False
        self._woken = False

    def run(self, handler: Callable[[Self], Coroutine[Any, Any, None]]) -> None:
        """Start the handler's coroutine; it runs until it has to wait."""
        self._engine.running += 1
        try:
            self._story = handler(self)
        except Exception:
            log.exception("the handler of a request failed")
            self._failed()
        else:
            self._step()

    def advance(self) -> None:
        """Run the handler on, if what it waits for has happened. Connections call this when they have told all."""
        if self._woken and self._waiting:
            self._step()

    def park(self, give_up: Callable[[], None] | None) -> None:
        """From now on the handler waits for what no connection brings, until `give_up` is called; None: no more."""
        self._parked = give_up

    def _leave_parked(self) -> None:
        """What the handler was there for has ended."""
        if self._parked is not None:
            self._parked()

    def _event(self) -> _Event:
        """Wait until one of the `on_…` methods has changed what the handler waits for."""
        self._woken = False
        self._waiting = True
        return _EVENT

    def _wake_soon(self) -> None:
        self._woken = True
        if self._waiting:
            self._engine.loop.call_soon(self.advance)

    def _step(self, _done: object = None) -> None:
        self._waiting = False
        story = self._story
        assert story is not None
        try:
            awaited = story.send(None)
        except StopIteration:
            self._story = None
            self._story_ended()
        except (Exception, asyncio.CancelledError):
            log.exception("the handler of a request failed")
            self._failed()
        else:
            if awaited is None:
                self._engine.loop.call_soon(self._step)
            elif awaited is not _EVENT:
                # The protocol between futures and who drives a coroutine: see asyncio.Task.__step.
                awaited._asyncio_future_blocking = False
                awaited.add_done_callback(self._step)

    def _failed(self) -> None:
        self._story = None
        self._story_failed()
        self._story_ended()

    def _story_failed(self) -> None:
        """The coroutine has raised, which is logged already."""
        raise NotImplementedError

    def _story_ended(self) -> None:
        """The coroutine has ended, also after it failed."""
        raise NotImplementedError
