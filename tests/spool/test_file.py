"""The file format: whatever was put is read again, wherever the file was cut off, and nobody reads what is in use."""

import errno
import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.spool.file import MAGIC, SUFFIX, SpoolFile

MAX = 1_000_000
PAYLOADS = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


def left(folder: Path, data: bytes) -> Path:
    path = folder / f"left{SUFFIX}"
    path.write_bytes(data)
    return path


def taken(path: Path) -> SpoolFile:
    file = SpoolFile.take_over(path)
    assert file is not None
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@given(PAYLOADS, st.sets(st.integers(0, 7)), st.integers(min_value=0))
def test_cut_off_anywhere_it_has_what_was_whole(
    folder: Path, payloads: list[bytes], done: set[int], cut: int
) -> None:
    file = SpoolFile.make(folder)
    states: list[tuple[int, dict[int, bytes]]] = [(file.size, {})]
    for index, payload in enumerate(payloads):
        number = file.put(payload, MAX)
        states.append((file.size, dict(file.pending)))
        if index in done and len(file.pending) > 1:
            file.done(number)
            states.append((file.size, dict(file.pending)))
    data = file.path.read_bytes()
    file.path.unlink()
    file.close()
    length = max(len(MAGIC), cut % (len(data) + 1))
    again = taken(left(folder, data[:length]))
    size, pending = max((state for state in states if state[0] <= length), key=lambda state: state[0])
    assert (again.size, again.pending, again.torn_bytes) == (size, pending, length - size)
    more = again.put(b"more", MAX)
    assert more not in pending
    again.close()
    reread = taken(again.path)
    assert reread.pending == pending | {more: b"more"}
    reread.close()


@given(st.integers(0), st.integers(1, 255))
def test_a_byte_that_changed_ends_the_reading_there(folder: Path, place: int, change: int) -> None:
    file = SpoolFile.make(folder)
    numbers = [file.put(payload, MAX) for payload in (b"first", b"second", b"third")]
    data = bytearray(file.path.read_bytes())
    file.path.unlink()
    file.close()
    place = len(MAGIC) + place % (len(data) - len(MAGIC))
    data[place] ^= change
    again = taken(left(folder, bytes(data)))
    assert list(again.pending) == numbers[: len(again.pending)]
    assert len(again.pending) < 3
    assert again.torn_bytes > 0
    again.close()


def test_a_file_is_one_process_s(tmp_path: Path) -> None:
    file = SpoolFile.make(tmp_path)
    file.put(b"mine", MAX)
    assert SpoolFile.take_over(file.path) is None
    file.close()
    other = taken(file.path)
    assert list(other.pending.values()) == [b"mine"]
    other.done(1)
    other.close()
    assert SpoolFile.take_over(file.path) is None
    assert not list(tmp_path.iterdir())


def test_it_begins_anew_when_nothing_is_left(tmp_path: Path) -> None:
    file = SpoolFile.make(tmp_path)
    first, second = file.put(b"1", MAX), file.put(b"2", MAX)
    file.done(first)
    file.done(second)
    file.sync()
    assert file.path.read_bytes() == MAGIC
    assert file.put(b"3", MAX) > second
    file.close()


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    path = left(tmp_path, b"SIDECAR SPOOL 2\nwhatever")
    with pytest.raises(ValueError, match="not of this version"):
        SpoolFile.take_over(path)
    assert path.read_bytes() == b"SIDECAR SPOOL 2\nwhatever"


def test_its_size_has_a_bound(tmp_path: Path) -> None:
    file = SpoolFile.make(tmp_path)
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        file.put(b"x" * 100, file.size + 100)
    assert not file.pending
    file.close()


@contextmanager
def disk_full_at(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_room_is_tried_without_a_trace(tmp_path: Path) -> None:
    file = SpoolFile.make(tmp_path)
    file.put(b"kept", MAX)
    before = file.path.read_bytes()
    file.try_room(1000, MAX)
    with pytest.raises(OSError, match=os.strerror(errno.EFBIG)):
        file.try_room(1000, file.size + 999)
    with disk_full_at(file.size + 500), pytest.raises(OSError, match=r"File too large|No space"):
        file.try_room(1000, MAX)
    assert file.path.read_bytes() == before
    file.close()


def test_death_while_room_is_tried_leaves_what_was_kept(tmp_path: Path) -> None:
    path = left(tmp_path, MAGIC + bytes(1000))
    file = taken(path)
    assert (file.pending, file.torn_bytes) == ({}, 1000)
    file.close()


def test_names_are_in_the_order_of_their_making(tmp_path: Path) -> None:
    files = [SpoolFile.make(tmp_path) for _ in range(20)]
    assert sorted(tmp_path.iterdir()) == [file.path for file in files]
    for file in files:
        file.close()


def test_that_there_is_a_file_is_on_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode)))
    file = SpoolFile.make(tmp_path)
    file.sync()
    file.sync()
    assert synced == [False, True, False]
    file.close()


def test_a_disk_that_is_full_leaves_no_half_of_a_record(tmp_path: Path) -> None:
    file = SpoolFile.make(tmp_path)
    kept = file.put(b"kept", MAX)
    size = file.size
    for room in (0, 20):
        with disk_full_at(size + room), pytest.raises(OSError, match=r"File too large|No space"):
            file.put(b"x" * 100, MAX)
        assert file.path.stat().st_size == file.size == size
    number = file.put(b"later", MAX)
    file.close()
    again = taken(file.path)
    assert again.pending == {kept: b"kept", number: b"later"}
    again.close()
