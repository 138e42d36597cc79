"""The upstream's credential follows its file, and is never seen anywhere else."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from sidecar.domain.errors import StartupError
from sidecar.services import credential as module
from sidecar.services.credential import Credential
from tests.support.until import until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text("sk-first\n")
    return file


@pytest.mark.parametrize(
    ("header", "scheme", "value"),
    [
        ("Authorization", "", "Bearer sk-first"),
        ("authorization", "Basic", "Basic sk-first"),
        ("x-api-key", "", "sk-first"),
        ("x-api-key", "Key", "Key sk-first"),
    ],
)
def test_it_is_what_the_file_has_behind_its_scheme(file: Path, header: str, scheme: str, value: str) -> None:
    credential = Credential(header, scheme, file)
    assert (credential.header, credential.value) == (header, value)
    assert "sk-first" not in repr(credential)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo", "holds more than one line of plain text"),
        (b"one\x00two", "holds more than one line of plain text"),
        ("schlüssel".encode(), "is not ASCII"),
        (None, "cannot be read: no such file or directory"),
    ],
)
def test_there_must_be_one_to_begin_with(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(StartupError) as caught:
        Credential("Authorization", "", file)
    text = f"upstream.credential_file {file} {said}; it must have the upstream's credential."
    assert caught.value.detail == text


@asynccontextmanager
async def watched(credential: Credential, use: Callable[[], None]) -> AsyncIterator[None]:
    watching = asyncio.ensure_future(credential.watch(use))
    yield
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching


def put(file: Path, text: str) -> None:
    """In one step, as the kubelet does."""
    (file.parent / "next").write_text(text)
    (file.parent / "next").replace(file)


async def test_another_one_takes_its_place_and_what_is_none_does_not(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.001)
    caplog.set_level(logging.DEBUG)
    credential, used = Credential("x-api-key", "", file), list[str]()
    async with watched(credential, lambda: used.append(credential.value)):
        put(file, "sk-second")
        await until(lambda: used == ["sk-second"], "the second")
        os.unlink(file)  # noqa: PTH108  (nothing is waited for)
        await until(lambda: credential.failing, "its loss to be noticed")
        assert credential.value == "sk-second"
        put(file, "sk-third\n")
        await until(lambda: used == ["sk-second", "sk-third"], "the third")
    assert (credential.failing, credential.reloads_total) == (None, 2)
    assert caplog.text.count("cannot be read: no such file or directory") == 1
    assert "sk-" not in caplog.text
