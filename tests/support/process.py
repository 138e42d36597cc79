"""The real command in a real process: started on free ports, awaited by its own readiness, ended as a person would.

async with Sidecar("run", upstream=upstream.url, rules=[path], store=server.url) as sidecar:
    await fetch(sidecar.proxy_port, …)
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.buyers import Control
from tests.support.ports import free_ports
from tests.support.rawhttp import fetch
from tests.support.upstream import WAIT_S

ROOT = Path(__file__).parents[2]
ADMIN_KEY = "ck_live_" + "a" * 43
POLL_S = 0.02
START_WAIT_S = 30.0


@contextlib.contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections and that nobody else can take meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])


def sockets_of(pid: int | str) -> int:
    """How many sockets a process has open (Linux)."""
    count = 0
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += str(each.readlink()).startswith("socket:")
    return count


class Sidecar:
    """One `python -m sidecar COMMAND` process with a data folder of its own.

    `settings` are `SIDECAR_<SECTION>_<KEY>` variables by dotted name; everything else of the environment that begins
    like that is taken away. `arguments` follow on the command line.
    """

    def __init__(
        self,
        command: str = "run",
        *,
        upstream: str,
        rules: Sequence[Path | str] = (),
        store: str | None = None,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
    ) -> None:
        self.command = command
        self.proxy_port, self.control_port = free_ports(2)
        # Short, because a Unix socket of the bundled store lies in it.
        self.data_dir = data_dir or Path(tempfile.mkdtemp(prefix="sc-"))
        self._own_dir = data_dir is None
        self._arguments: list[str] = []
        if command != "control":
            self._arguments += ["--upstream", upstream, "--listen", f"127.0.0.1:{self.proxy_port}"]
        if command != "proxy":
            self._arguments += ["--control-listen", f"127.0.0.1:{self.control_port}", "--data", str(self.data_dir)]
        for path in rules:
            self._arguments += ["--rules", str(path)]
        self._store = [] if store is None else ["--store", store]
        self._arguments += self._store
        self._arguments += arguments
        self._environment = {key: value for key, value in os.environ.items() if not key.startswith("SIDECAR_")}
        given = {"admin.key": ADMIN_KEY, **(settings or {})}
        self._environment |= {f"SIDECAR_{name.replace('.', '_').upper()}": value for name, value in given.items()}
        self._environment |= environment or {}
        self._secrets = [self._environment["SIDECAR_ADMIN_KEY"], *(environment or {}).values()]
        self._process: asyncio.subprocess.Process | None = None

    @property
    def control(self) -> Control:
        """The control API of this process, with the admin key."""
        assert self.command != "proxy", "this process serves no control API"
        return Control(self.control_port, ADMIN_KEY)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """What it printed until now, stdout and stderr."""
        return "".join((self.data_dir / name).read_text(errors="replace") for name in ("stdout", "stderr"))

    @property
    def peak_bytes(self) -> int:
        """The most memory that the process has had resident until now (Linux)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmHWM")

    @property
    def sockets(self) -> int:
        """How many sockets the process has open (Linux)."""
        return sockets_of(self.pid)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(f"--- output of sidecar {self.command}:\n{self.output}")
        await self.close(signal.SIGTERM if error is None else signal.SIGKILL)

    async def spawn(self) -> None:
        """Start the process and do not wait for anything."""
        with (self.data_dir / "stdout").open("ab") as out, (self.data_dir / "stderr").open("ab") as err:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sidecar", self.command, *self._arguments,
                cwd=ROOT, env=self._environment, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip

    async def start(self) -> None:
        """Start the process and wait until it serves."""
        await self.spawn()
        async with asyncio.timeout(START_WAIT_S):
            while not await self.ready():
                assert self._process is not None
                assert self._process.returncode is None, f"it ended: {self.output}"
                await asyncio.sleep(POLL_S)

    async def ready(self) -> bool:
        """Whether it says that it can serve; a process without a control port says so by listening."""
        try:
            if self.command != "proxy":
                return (await fetch(self.control_port, "GET", "/readyz")).status == 200
            _, writer = await asyncio.open_connection("127.0.0.1", self.proxy_port)
        except OSError:
            return False
        writer.close()
        return True

    async def verify(self) -> None:
        """What `sidecar verify` says of the store and the archive in its data folder must be that all is well."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar", "verify", *self._store, "--data", str(self.data_dir),
            cwd=ROOT, env=self._environment, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()

    async def close(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the process if it still runs, and delete its data folder.

        A traceback or a secret in what it printed fails the test.
        """
        try:
            if self._process is not None and self._process.returncode is None:
                await self.stop(number)
            output = self.output
            assert "Traceback" not in output, output
            assert not [secret for secret in self._secrets if secret and secret in output], "it printed a secret"
        finally:
            if self._own_dir:
                shutil.rmtree(self.data_dir, ignore_errors=True)

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end of the process; its exit code, or minus the signal that ended it."""
        assert self._process is not None
        async with asyncio.timeout(WAIT_S):
            return await self._process.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send `number` and wait for the end."""
        self.send_signal(number)
        return await self.ended()
