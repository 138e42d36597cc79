"""Several processes that share one port: the parent serves nothing, it keeps the workers alive and passes signals on.

The kernel spreads connections over the workers (SO_REUSEPORT). A worker that ends is started again; before the first
one is up, its end is the end of all, so that a mistake is reported once and not for ever. On SIGHUP each of them
loads the rules again.
"""

import contextlib
import errno
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Final, NoReturn

import msgspec

from sidecar.cli.exits import exit_code
from sidecar.cli.process import STOP_SIGNALS, Terminal
from sidecar.config.settings import Settings
from sidecar.config.values import Endpoint
from sidecar.domain.errors import StartupError

SHORT_LIFE_S: Final = 1.0
"""A worker that lived no longer is started again only after as long a pause."""

_SIGNALS: Final = {signal.SIGCHLD, signal.SIGHUP, *STOP_SIGNALS}

Work = Callable[[Settings, Callable[[], None], int], int]
"""What a worker does: with settings whose port is fixed, a call for when it serves, and its lifeline."""


def supervise(settings: Settings, count: int, work: Work, announce: Callable[[Settings], None]) -> int:
    """Run `count` workers until a signal; the exit code of the first one when that did not come up.

    `announce` is called once when they serve, with the settings that have the real port.
    """
    with _reserved(settings.proxy.listen) as reserved:
        host = Endpoint.parse(settings.proxy.listen)
        assert host is not None, "the settings have been checked"
        listen = str(Endpoint(host.host, reserved.getsockname()[1]))
        proxy = msgspec.structs.replace(settings.proxy, listen=listen)
        return _Supervisor(msgspec.structs.replace(settings, proxy=proxy), work).run(count, announce)


def _reserved(listen: str) -> socket.socket:
    """A socket that holds the port without listening; StartupError when it is in use by anybody else.

    The first bind goes without SO_REUSEPORT, or another sidecar's workers would silently share their port with ours.
    """
    endpoint = Endpoint.parse(listen)
    assert endpoint is not None, "the settings have been checked"
    try:
        family, kind, _, _, address = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
        reserved = socket.socket(family, kind)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(address)
    except OSError as error:
        why = "the port is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        raise StartupError(
            f"The proxy cannot listen on {endpoint}: {why}; choose another address with --listen."
        ) from error
    return reserved


class _Worker(msgspec.Struct, frozen=True):
    pid: int
    born: float
    ready: int
    """Gives one byte when the worker serves, and ends when the worker does."""


class _Supervisor:
    def __init__(self, settings: Settings, work: Work) -> None:
        self._settings = settings
        self._work = work
        self._workers: dict[int, _Worker] = {}
        self._terminal = Terminal()
        self._stopping = False
        self._code = 0
        self._lifeline, self._our_end = os.pipe()

    def run(self, count: int, announce: Callable[[Settings], None]) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        first = self._start()
        if not os.read(first.ready, 1):
            code = os.waitstatus_to_exitcode(os.waitpid(first.pid, 0)[1])
            return code if code >= 0 else 128 - code
        announce(self._settings)
        for _ in range(count - 1):
            self._start()
        while self._workers:
            match signal.sigwait(_SIGNALS):
                case signal.SIGCHLD:
                    self._reap()
                case signal.SIGHUP if not self._terminal.closed:
                    for pid in self._workers:
                        os.kill(pid, signal.SIGHUP)
                case number:
                    self._stop(number)
        return self._code

    def _start(self) -> _Worker:
        ready, worker_end = os.pipe()
        born = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._be_worker(worker_end)
        os.close(worker_end)
        worker = self._workers[pid] = _Worker(pid, born, ready)
        return worker

    def _be_worker(self, ready: int) -> NoReturn:
        # A group of its own: Ctrl-C reaches the parent alone, which asks each worker once.
        os.setpgid(0, 0)
        os.close(self._our_end)
        # Until it listens to it: it loads the rules only then.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        code = 1
        try:
            code = exit_code(lambda: self._work(self._settings, lambda: _say(ready), self._lifeline))
            sys.stdout.flush()
        finally:
            os._exit(code)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                worker = self._workers.pop(ended[0])
                os.close(worker.ready)
                code = os.waitstatus_to_exitcode(ended[1])
                if self._stopping:
                    self._code = self._code or abs(code)
                    continue
                print(f"sidecar: a worker ended ({_ending(code)}); starting another", file=sys.stderr)
                if time.monotonic() - worker.born < SHORT_LIFE_S:
                    time.sleep(SHORT_LIFE_S)
                self._start()

    def _stop(self, number: int) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL if self._stopping else signal.SIGTERM)
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True


def _say(ready: int) -> None:
    os.write(ready, b"!")
    os.close(ready)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
