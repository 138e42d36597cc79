import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import tiktoken.registry
import tiktoken_ext.openai_public

from sidecar.config import tokenizers
from sidecar.config.tokenizers import FOLDER, VOCABULARIES, NoTokenizerError, load_tokenizer

NAMES = sorted(VOCABULARIES)


@pytest.fixture(autouse=True)
def nothing_is_set_or_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    tokenizers._loaded.cache_clear()
    yield
    tokenizers._loaded.cache_clear()


def refused(name: str = "o200k_base") -> NoTokenizerError:
    with pytest.raises(NoTokenizerError) as caught:
        load_tokenizer(name)
    return caught.value


@pytest.fixture
def bytes_as_tokens(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A vocabulary of single bytes under all names, since real ones are not ours to ship; its text."""
    text = b"one token for each byte"
    digest = hashlib.sha256(text).hexdigest()
    small = {name: known._replace(digest=digest) for name, known in VOCABULARIES.items()}
    monkeypatch.setattr(tokenizers, "VOCABULARIES", small)
    folders = []

    def load(_url: str, expected_hash: str) -> dict[bytes, int]:
        assert len(expected_hash) == 64
        folders.append(os.environ[FOLDER])
        return {bytes([byte]): byte for byte in range(256)}

    monkeypatch.setattr(tiktoken_ext.openai_public, "load_tiktoken_bpe", load)
    return text


def mounted(folder: Path, name: str, text: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / VOCABULARIES[name].file).write_bytes(text)


@pytest.mark.parametrize("name", NAMES)
def test_a_mounted_vocabulary_counts(
    name: str, bytes_as_tokens: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(tmp_path, name, bytes_as_tokens)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    count = load_tokenizer(name)
    assert count(b"") == 0
    assert count("Hé".encode()) == 3
    assert count(b"<|endoftext|>") == len(b"<|endoftext|>")
    assert count(b"\xff") == len("\N{REPLACEMENT CHARACTER}".encode())
    assert os.environ[FOLDER] == str(tmp_path)


def test_an_installed_litellm_has_vocabularies(
    bytes_as_tokens: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "litellm").mkdir()
    (tmp_path / "litellm" / "__init__.py").write_text("raise AssertionError('it is not imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "cannot be read" in str(refused())
    mounted(tmp_path / "litellm" / "litellm_core_utils" / "tokenizers", "o200k_base", bytes_as_tokens)
    assert load_tokenizer("o200k_base")(b"abc") == 3
    assert FOLDER not in os.environ


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "find_spec", lambda _name: None)
    assert "tiktoken, which is not installed" in str(refused())
    assert "entitlement-sidecar[tokens]" in refused().hint


def test_without_a_folder_it_says_which_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "find_spec", lambda name: name == "tiktoken" or None)
    assert f"{FOLDER} is not set" in str(refused())


def test_a_vocabulary_that_is_not_there_or_damaged_is_never_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = ModuleType("requests")
    monkeypatch.setitem(sys.modules, "requests", network)
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert "cannot be read" in str(refused())
    mounted(tmp_path, "o200k_base", b"damaged")
    assert "its SHA-256 is" in str(refused())
    assert (tmp_path / VOCABULARIES["o200k_base"].file).read_bytes() == b"damaged"


def test_files_are_named_as_tiktoken_looks_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names a file by the hash of where it would get it from; so what we check is what it reads."""
    asked: list[tuple[str, str]] = []

    def load(url: str, expected_hash: str) -> dict[bytes, int]:
        asked.append((hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest(), expected_hash))
        return {}

    monkeypatch.setattr(tiktoken_ext.openai_public, "load_tiktoken_bpe", load)
    for name in VOCABULARIES:
        getattr(tiktoken_ext.openai_public, name)()
    assert asked == list(map(tuple, VOCABULARIES.values()))
