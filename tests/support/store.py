"""A real Redis or Valkey server for tests, that can also die, freeze and come back."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from sidecar.store import die_with_parent
from sidecar.store.bundled import find_server
from tests.support.until import until_sync


def servers() -> list[Path]:
    """Every different server that this machine has: the bundled one and the system's."""
    found = [find_server()]
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path is not None and Path(path) not in found:
            found.append(Path(path))
    return found


class StoreServer:
    """One server on a Unix socket in its own short folder. Extra arguments as on its command line."""

    def __init__(self, *arguments: str, binary: Path | None = None, append_only: bool = False, port: int = 0) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="st-"))
        self.socket = self.dir / "s"
        self.url = f"unix://{self.socket}"
        self._binary = binary or find_server()
        self._arguments = ["--port", str(port), "--appendonly", "yes" if append_only else "no", *arguments]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()),
                str(self._binary), "--unixsocket", str(self.socket), "--dir", str(self.dir),
                "--save", "", "--logfile", str(self.dir / "log"), *self._arguments,
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
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            yield client

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
