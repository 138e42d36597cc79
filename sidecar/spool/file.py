"""One file of the spool: records that are put, and marked when they are done. It does not know what they say.

    magic · (length u32 · CRC-32 u32 · number u64 · payload)*      a record without a payload marks its number done

Whoever has a file open holds its lock, which the kernel gives back however the process ends; so a file without one is
what a dead process left. Only the last record can be torn, and reading ends before it.
"""

import errno
import fcntl
import os
import secrets
import struct
import time
import zlib
from pathlib import Path
from typing import Final, Self

MAGIC: Final = b"SIDECAR SPOOL 1\n"
"""With the version of the format."""
SUFFIX: Final = ".spool"
_HEAD = struct.Struct(">IIQ")


class SpoolFile:
    """A file that is ours. `pending` are the records that are not done, in their order, by number."""

    def __init__(self, path: Path, descriptor: int, data: bytes) -> None:
        if not data.startswith(MAGIC):
            raise ValueError(f"The file {path} is not of this version of the spool.")
        self.path = path
        self._descriptor = descriptor
        self.pending: dict[int, bytes] = {}
        self._next = 1
        self._entered = False
        self.size = len(MAGIC)
        """Bytes that can be read back."""
        self._read(data)
        self.torn_bytes = len(data) - self.size
        """So many at the end could not be."""

    @classmethod
    def make(cls, folder: Path) -> Self:
        """A new file; the folder is made if need be. OSError when it cannot be written."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # In the order of their names: what a process left comes before what its successor left.
        path = folder / f"{time.time_ns():016x}-{secrets.token_hex(4)}{SUFFIX}"
        # Nobody takes it for a dead process's before it is locked.
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            _write(descriptor, MAGIC, 0)
            draft.rename(path)
        except BaseException:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return cls(path, descriptor, MAGIC)

    @classmethod
    def take_over(cls, path: Path) -> Self | None:
        """What a dead process left; None: it lives, or another took it. OSError; ValueError for what is not ours."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return cls(path, descriptor, path.read_bytes())
        except (BlockingIOError, FileNotFoundError):
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise

    def put(self, payload: bytes, max_bytes: int) -> int:
        """Append a record; its number. OSError when it does not fit into `max_bytes`, or cannot be written."""
        self._check_size(_HEAD.size + len(payload), max_bytes)
        number = self._next
        self._append(number, payload)
        self._next += 1
        self.pending[number] = payload
        return number

    def try_room(self, length: int, max_bytes: int) -> None:
        """Whether a record of this length could be appended: OSError as of `put`. It leaves nothing behind."""
        self._check_size(length, max_bytes)
        _write(self._descriptor, bytes(length), self.size)
        os.ftruncate(self._descriptor, self.size)

    def done(self, number: int) -> None:
        """It will not be read again. When nothing is left, the file begins anew. OSError, and then it may be."""
        self.pending.pop(number)
        if self.pending:
            self._append(number, b"")
        else:
            os.ftruncate(self._descriptor, len(MAGIC))
            self.size = len(MAGIC)

    def sync(self) -> None:
        """Wait until all of it is on the disk, whatever happens to the machine. Blocks; OSError."""
        os.fsync(self._descriptor)
        if not self._entered:
            # Or the machine might know what is in the file, and not that there is one.
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            self._entered = True

    def close(self) -> None:
        """Give it up: what is pending is for the next process, and a file without that is deleted."""
        if not self.pending:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _check_size(self, more: int, max_bytes: int) -> None:
        if self.size + more > max_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(self.path))

    def _append(self, number: int, payload: bytes) -> None:
        checked = number.to_bytes(8) + payload
        record = _HEAD.pack(len(payload), zlib.crc32(checked), number) + payload
        _write(self._descriptor, record, self.size)
        self.size += len(record)

    def _read(self, data: bytes) -> None:
        while len(data) - self.size >= _HEAD.size:
            length, crc, number = _HEAD.unpack_from(data, self.size)
            start = self.size + _HEAD.size
            payload = data[start : start + length]
            if len(payload) < length or zlib.crc32(number.to_bytes(8) + payload) != crc:
                return
            if payload:
                self.pending[number] = payload
            else:
                self.pending.pop(number, None)
            self._next = max(self._next, number + 1)
            self.size = start + length


def _write(descriptor: int, data: bytes, at: int) -> None:
    """All of it, or nothing: a disk that is full leaves no half of a record behind."""
    try:
        written = os.pwrite(descriptor, data, at)
    except OSError:
        os.ftruncate(descriptor, at)
        raise
    if written < len(data):
        os.ftruncate(descriptor, at)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
