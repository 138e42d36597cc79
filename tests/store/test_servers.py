"""Which servers the tests of the store run on."""

import shutil
from pathlib import Path

import pytest

from sidecar.store.bundled import find_server
from tests.support.store import MORE_SERVERS, StoreServer, servers, version


def test_each_version_is_there_once_the_bundled_one_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copy(find_server(), tmp_path / "redis-server")
    monkeypatch.setenv(MORE_SERVERS, f"{copy}:{tmp_path}/none")
    found = servers.__wrapped__()
    assert found[0] == find_server()
    assert copy not in found
    assert len(set(map(version, found))) == len(found)


@pytest.mark.parametrize("binary", servers(), ids=version)
def test_a_server_is_what_it_is_called(binary: Path) -> None:
    server = StoreServer(binary=binary)
    server.start()
    try:
        with server.client() as client:
            info = client.info("server")
    finally:
        server.remove()
    name = info.get("server_name", "redis")
    assert version(binary) == f"{name}-{info.get(f'{name}_version')}"
