"""One server process: started on its own core, known to listen, ended by its id."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from benchmarks import machine

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


class Server:
    """A child process that listens on a loopback port or a Unix socket; use it in a ``with`` block."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        listens_on: int | Path,
        *,
        core: int,
        folder: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.listens_on = listens_on
        self._command = ["taskset", "--cpu-list", str(core), *command]
        self._log = folder / f"{name}.log"
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._listening():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"{self.name} did not come up. Its last words:\n{self._log.read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        family = machine.process_tree(self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            for pid in family:
                os.kill(pid, signal.SIGKILL)
            self._process.wait(STOP_TIMEOUT_S)
        self._process = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self._process.pid

    @property
    def port(self) -> int:
        if isinstance(self.listens_on, Path):
            raise TypeError(f"{self.name} listens on a Unix socket, not on a port")
        return self.listens_on

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _listening(self) -> bool:
        family, address = (
            (socket.AF_UNIX, str(self.listens_on))
            if isinstance(self.listens_on, Path)
            else (socket.AF_INET, ("127.0.0.1", self.listens_on))
        )
        with socket.socket(family) as probe:
            return probe.connect_ex(address) == 0
