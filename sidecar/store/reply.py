"""A reply that is still to come, for the commands that every request sends. It is awaited, once, and nothing else.

A future hands its result over in a later turn of the loop, for 2 to 3 µs and a turn's wait. A coroutine that is
driven by hand, as those of requests are, is run on at once instead, from where the reply was read. A Task awaits a
reply like a future: it gets its turn of the loop, because one Task must not be entered while another runs.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_Callback = Callable[["Reply[Any]"], object]

log = logging.getLogger("sidecar.store")


class Reply(Generic[T]):
    """Awaiting it gives what `decode` makes of the raw reply, or raises what it failed with.

    To whoever drives the coroutine it looks like a future (see asyncio.Task.__step), except that a callback without
    a context is called at once.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_decode", "_done", "_error", "_raw")

    def __init__(self, decode: Callable[[Any], T]) -> None:
        self._decode = decode
        self._callback: _Callback | None = None
        self._done = self._asyncio_future_blocking = False

    def __await__(self) -> Generator["Reply[T]", None, T]:
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        return self.result()

    # For the wire

    def done(self) -> bool:
        return self._done

    def set_result(self, raw: object, error: BaseException | None = None) -> None:
        self._raw, self._error, self._done = raw, error, True
        if self._callback is not None:
            try:
                self._callback(self)
            except Exception:
                # Whoever awaits a reply must not keep the wire from handing out the others.
                log.exception("what followed a reply failed")

    def set_exception(self, error: BaseException) -> None:
        self.set_result(None, error)

    # For the driver

    def add_done_callback(self, callback: _Callback, *, context: contextvars.Context | None = None) -> None:
        if context is None:
            self._callback = callback
        else:
            later = asyncio.get_running_loop().call_soon
            self._callback = lambda reply: later(callback, reply, context=context)

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._decode(self._raw)

    def cancel(self, _message: object = None) -> bool:
        """Nobody awaits it any more; the reply will be dropped."""
        if self._done:
            return False
        self.set_exception(asyncio.CancelledError())
        return True

    @staticmethod
    def get_loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()
