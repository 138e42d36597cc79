"""One serving process: its event loop, its signals, and how it ends.

The first SIGTERM or SIGINT ends it in order: finish or cut what is under way, settle it, stop. A second one ends it
at once with 128 + its number, and leaves open holds to their deadline. SIGHUP loads the rules again, unless it says
that the process's terminal was closed: that is the end, too.
"""

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from sidecar.config.settings import Settings
from sidecar.wiring import Injecting, Role, Sidecar, answering_for_workers, running

log = logging.getLogger("sidecar")

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Place(msgspec.Struct, frozen=True):
    """That of one of several processes on one port."""

    lifeline: int
    """A file descriptor whose end also ends the process, since the parent holds the other end."""
    report_at: Path | None
    """Where it says how it is, to the process that answers probes for all."""


def serve(settings: Settings, role: Role, announce: Callable[[Sidecar], None], *, place: Place | None = None) -> int:
    """Serve `role` until a signal; `announce` is called once when everything is up.

    `place` makes this process one of several on one port.
    """
    with asyncio.Runner(loop_factory=_new_loop()) as runner:
        return runner.run(_serve(settings, role, announce, place))


async def _serve(settings: Settings, role: Role, announce: Callable[[Sidecar], None], place: Place | None) -> int:
    stop, report_at = _Stop(), None
    if place is not None:
        stop.watch(place.lifeline)
        report_at = place.report_at
    with stop.while_starting():
        async with running(settings, role, share_port=place is not None, report_at=report_at) as sidecar:
            stop.started(lambda: sidecar.tasks.start(sidecar.reloading.reload("of SIGHUP"), "reload"))
            announce(sidecar)
            if Role.PROXY in role and settings.upstream.url:
                sidecar.tasks.start(_warn_about(settings), "upstream check")
            _settle_memory()
            await stop.wait()
            delay_s = settings.timeouts.shutdown_delay_s
            log.info(
                "stopping: %srequests under way have %g seconds; a second signal ends at once",
                f"after {delay_s:g} seconds in which more are taken, " if delay_s else "",
                settings.timeouts.shutdown_s,
            )
    return stop.code


def answer(listen: str, folder: Path, announce: Callable[[], None], lifeline: int) -> int:
    """Answer probes and Prometheus for the workers that report in `folder`, until a signal or the parent's end."""
    with asyncio.Runner(loop_factory=_new_loop()) as runner:
        return runner.run(_answer(listen, folder, announce, lifeline))


async def _answer(listen: str, folder: Path, announce: Callable[[], None], lifeline: int) -> int:
    stop = _Stop()
    stop.watch(lifeline)
    with stop.while_starting():
        async with answering_for_workers(listen, folder):
            stop.started(lambda: None)
            announce()
            _settle_memory()
            await stop.wait()
    return stop.code


def serve_injector(settings: Settings, announce: Callable[[Injecting], None]) -> int:
    """Serve the admission webhook until a signal; SIGHUP looks at the certificate at once."""
    with asyncio.Runner(loop_factory=_new_loop()) as runner:
        return runner.run(_serve_injector(settings, announce))


async def _serve_injector(settings: Settings, announce: Callable[[Injecting], None]) -> int:
    # A process that only proxies does without aiohttp.
    from sidecar.wiring.injector import injecting  # noqa: PLC0415

    stop = _Stop()
    with stop.while_starting():
        async with injecting(settings) as injector:
            stop.started(injector.look)
            announce(injector)
            _settle_memory()
            await stop.wait()
            log.info(
                "stopping: reviews are answered for %g seconds more; a second signal ends at once",
                settings.timeouts.shutdown_delay_s,
            )
    return stop.code


class Terminal:
    """The terminal that the process was started from, if any."""

    def __init__(self) -> None:
        self._was_there = os.isatty(0)

    @property
    def closed(self) -> bool:
        """Whether it was closed meanwhile: what SIGHUP says of old."""
        return self._was_there and not os.isatty(0)


class _Stop:
    """When to stop, and when to reload. Before `started` a signal cancels what starts; afterwards it ends `wait`."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.code = 0
        """What the process ends with."""
        self._task = asyncio.current_task()
        self._event = asyncio.Event()
        self._starting = True
        self._terminal = Terminal()
        self._reload: Callable[[], object] | None = None
        self._reload_asked = False
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._received, number)

    @contextlib.contextmanager
    def while_starting(self) -> Iterator[None]:
        """Around all of serving: a start that a signal broke off is no error, and `code` says which one it was."""
        try:
            yield
        except asyncio.CancelledError:
            if self.signal is None:
                raise
            self.code = 128 + self.signal

    def started(self, reload: Callable[[], object]) -> None:
        """From now on `reload` is called on SIGHUP, and at once for one that came before."""
        self._starting = False
        self._reload = reload
        if self._reload_asked:
            reload()

    async def wait(self) -> None:
        await self._event.wait()

    def watch(self, descriptor: int) -> None:
        """Stop when the other end of a pipe is gone."""
        loop = asyncio.get_running_loop()

        def gone() -> None:
            loop.remove_reader(descriptor)
            self._received(signal.SIGTERM)

        loop.add_reader(descriptor, gone)

    def _hung_up(self) -> None:
        if self._terminal.closed:
            self._received(signal.SIGHUP)
        elif self._reload is None:
            self._reload_asked = True
        else:
            self._reload()

    def _received(self, number: int) -> None:
        if self.signal is not None:
            os._exit(128 + number)
        self.signal = number
        self._event.set()
        if self._starting and self._task is not None:
            self._task.cancel()


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, or the standard library's where there is no uvloop."""
    try:
        import uvloop  # noqa: PLC0415  (only a serving process pays for it)
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _settle_memory() -> None:
    """What exists now lives as long as the process: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def _warn_about(settings: Settings) -> None:
    """Say so when nobody listens at the upstream's address; the proxy serves all the same, and answers 502."""
    url = urlsplit(settings.upstream.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    where = f"{url.scheme}://{url.netloc}"
    try:
        async with asyncio.timeout(settings.timeouts.connect_s):
            _, writer = await asyncio.open_connection(url.hostname, port)
    except (OSError, TimeoutError) as error:
        why = error.strerror or str(error) or "no answer in time"
        log.warning("the upstream %s cannot be reached: %s; requests are answered 502 until it can be", where, why)
        return
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
