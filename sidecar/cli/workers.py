"""Several processes that share one port: the parent serves nothing, it keeps the workers alive and passes signals on.

The kernel spreads connections over the workers (SO_REUSEPORT). A worker that ends is started again; before the first
one is up, its end is the end of all, so that a mistake is reported once and not for ever. On SIGHUP each of them
loads the rules again. With `proxy.admin_listen` one process more answers probes and Prometheus for all of them: it
comes before the first worker and goes after the last, so that readiness is never unanswered.
"""

import contextlib
import errno
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from sidecar.cli.exits import exit_code
from sidecar.cli.process import STOP_SIGNALS, Place, Terminal
from sidecar.config.data_folder import make_data_dir
from sidecar.config.settings import Settings
from sidecar.config.values import Endpoint
from sidecar.domain.errors import StartupError

SHORT_LIFE_S: Final = 1.0
"""A worker that lived no longer is started again only after as long a pause."""

_SIGNALS: Final = {signal.SIGCHLD, signal.SIGHUP, *STOP_SIGNALS}

Work = Callable[[Settings, Callable[[], None], Place], int]
"""What a worker does: with settings whose port is fixed, a call for when it serves, and its place."""
Answer = Callable[[str, Path, Callable[[], None], int], int]
"""What answers for them: where it listens, the folder they report in, a call for when it serves, its lifeline."""


def supervise(
    settings: Settings, count: int, work: Work, answer: Answer, announce: Callable[[Settings], None]
) -> int:
    """Run `count` workers until a signal; the exit code of the first one when that did not come up.

    `announce` is called once when they serve, with the settings that have the real port.
    """
    with _reserved(settings.proxy.listen) as reserved:
        host = Endpoint.parse(settings.proxy.listen)
        assert host is not None, "the settings have been checked"
        listen = str(Endpoint(host.host, reserved.getsockname()[1]))
        proxy = msgspec.structs.replace(settings.proxy, listen=listen)
        fixed = msgspec.structs.replace(settings, proxy=proxy)
        if not proxy.admin_listen:
            return _Supervisor(fixed, work, answer, None).run(count, announce)
        with tempfile.TemporaryDirectory(prefix="workers-", dir=make_data_dir(settings)) as folder:
            return _Supervisor(fixed, work, answer, Path(folder)).run(count, announce)


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


class _Child(msgspec.Struct, frozen=True):
    pid: int
    born: float
    ready: int
    """Gives one byte when the child serves, and ends when the child does."""
    number: int | None
    """Of a worker; None of the one that answers for them."""


class _Supervisor:
    def __init__(self, settings: Settings, work: Work, answer: Answer, folder: Path | None) -> None:
        """`folder` is where workers report, if somebody answers for them."""
        self._settings = settings
        self._work = work
        self._answer = answer
        self._folder = folder
        self._children: dict[int, _Child] = {}
        self._terminal = Terminal()
        self._stopping = False
        self._code = 0
        self._lifeline, self._our_end = os.pipe()

    @property
    def _workers(self) -> list[int]:
        """The process ids of the workers."""
        return [child.pid for child in self._children.values() if child.number is not None]

    def run(self, count: int, announce: Callable[[Settings], None]) -> int:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for number in (0,) if self._folder is None else (None, 0):
            child = self._start(number)
            if not os.read(child.ready, 1):
                del self._children[child.pid]
                self._end_answering()
                code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
                return code if code >= 0 else 128 - code
        announce(self._settings)
        for number in range(1, count):
            self._start(number)
        while self._workers:
            match signal.sigwait(_SIGNALS):
                case signal.SIGCHLD:
                    self._reap()
                case signal.SIGHUP if not self._terminal.closed:
                    for pid in self._workers:
                        os.kill(pid, signal.SIGHUP)
                case number:
                    self._stop(number)
        self._end_answering()
        return self._code

    def _start(self, number: int | None) -> _Child:
        ready, child_end = os.pipe()
        born = time.monotonic()
        pid = os.fork()
        if pid == 0:
            self._be_child(number, child_end)
        os.close(child_end)
        child = self._children[pid] = _Child(pid, born, ready, number)
        return child

    def _be_child(self, number: int | None, ready: int) -> NoReturn:
        # A group of its own: Ctrl-C reaches the parent alone, which asks each worker once.
        os.setpgid(0, 0)
        os.close(self._our_end)
        # Until it listens to it: it loads the rules only then.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        code = 1
        try:
            code = exit_code(lambda: self._do(number, lambda: _say(ready)))
            sys.stdout.flush()
        finally:
            os._exit(code)

    def _do(self, number: int | None, ready: Callable[[], None]) -> int:
        if number is None:
            assert self._folder is not None
            return self._answer(self._settings.proxy.admin_listen, self._folder, ready, self._lifeline)
        report_at = None if self._folder is None else self._folder / str(number)
        return self._work(self._settings, ready, Place(self._lifeline, report_at))

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                child = self._children.pop(ended[0])
                os.close(child.ready)
                code = os.waitstatus_to_exitcode(ended[1])
                if self._stopping and child.number is not None:
                    self._code = self._code or abs(code)
                    continue
                who = "a worker" if child.number is not None else "what answers probes"
                print(f"sidecar: {who} ended ({_ending(code)}); starting another", file=sys.stderr)
                if time.monotonic() - child.born < SHORT_LIFE_S:
                    time.sleep(SHORT_LIFE_S)
                self._start(child.number)

    def _stop(self, number: int) -> None:
        for pid in self._children if self._stopping else self._workers:
            os.kill(pid, signal.SIGKILL if self._stopping else signal.SIGTERM)
        if self._stopping:
            os._exit(128 + number)
        self._stopping = True

    def _end_answering(self) -> None:
        """By its lifeline: after the last worker, or instead of the first."""
        os.close(self._our_end)
        for pid in self._children:
            os.waitpid(pid, 0)


def _say(ready: int) -> None:
    os.write(ready, b"!")
    os.close(ready)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
