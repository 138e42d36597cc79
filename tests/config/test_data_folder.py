"""The data folder and the admin key in it."""

from pathlib import Path

import pytest

from sidecar.config.data_folder import data_dir, ensure_admin_key, find_admin_key, make_data_dir, usable_admin_key
from sidecar.config.settings import Admin, Data, Settings
from sidecar.domain.errors import StartupError


def settings(folder: Path | str = "", key: str = "") -> Settings:
    return Settings(data=Data(dir=str(folder)), admin=Admin(key=key))


def test_the_folder_follows_the_settings_then_xdg_then_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert data_dir(settings(tmp_path / "own")) == tmp_path / "own"
    assert data_dir(settings()) == tmp_path / "xdg" / "sidecar"
    monkeypatch.setenv("XDG_DATA_HOME", "relative paths are ignored")
    assert data_dir(settings()) == tmp_path / "home" / ".local" / "share" / "sidecar"
    assert not (tmp_path / "home").exists(), "asking makes nothing"


def test_the_first_start_makes_a_key_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    key, made = ensure_admin_key(settings(folder))
    assert made
    assert key.startswith("ck_live_")
    assert len(key) == len("ck_live_") + 43
    assert (folder / "admin-key").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["admin-key"]
    assert ensure_admin_key(settings(folder)) == (key, False)
    assert find_admin_key(settings(folder)) == key


def test_the_settings_win_and_nothing_is_written(tmp_path: Path) -> None:
    given = "ck_live_" + "x" * 20
    assert ensure_admin_key(settings(tmp_path / "data", given)) == (given, False)
    assert not (tmp_path / "data").exists()


def test_there_may_be_no_key(tmp_path: Path) -> None:
    assert find_admin_key(settings(tmp_path)) is None


@pytest.mark.parametrize("content", [b"", b"secret-thing", b"\xff\xfe"])
def test_a_file_that_holds_no_key_is_an_error_without_its_content(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "admin-key").write_bytes(content)
    with pytest.raises(StartupError, match="admin-key") as caught:
        ensure_admin_key(settings(tmp_path))
    assert "secret-thing" not in caught.value.detail
    assert (tmp_path / "admin-key").read_bytes() == content


def test_the_key_of_another_environment_is_good_for_calls_only(tmp_path: Path) -> None:
    key = "ck_test_" + "a" * 43
    (tmp_path / "admin-key").write_text(key)
    assert usable_admin_key(settings(tmp_path)) == key
    with pytest.raises(StartupError, match="admin key of another environment, not ck_live_") as caught:
        ensure_admin_key(settings(tmp_path))
    assert key not in caught.value.detail


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        StartupError, match=r"The data folder .*file/data cannot be made: Not a directory; .*--data\."
    ):
        make_data_dir(settings(tmp_path / "file" / "data"))
