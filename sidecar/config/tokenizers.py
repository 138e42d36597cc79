"""Tokenizers for estimates, from vocabularies that are already on this machine: nothing here reaches the network.

tiktoken would download a vocabulary that it lacks, or whose file is damaged; so the file is looked at first.
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = "TIKTOKEN_CACHE_DIR"
"""The variable that tells tiktoken, and us, where vocabularies are."""


class _Vocabulary(NamedTuple):
    """A file as tiktoken names it in its folder, and the SHA-256 of it."""

    file: str
    digest: str


VOCABULARIES = {
    "o200k_base": _Vocabulary(
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": _Vocabulary(
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}


class NoTokenizerError(Exception):
    """A tokenizer that cannot be had here: why not, and what to do about it."""

    def __init__(self, detail: str, hint: str) -> None:
        super().__init__(detail)
        self.hint = hint


def load_tokenizer(name: str) -> Callable[[bytes], int]:
    """What counts the tokens of a UTF-8 text by the vocabulary `name`, one of `VOCABULARIES`; NoTokenizerError."""
    if find_spec("tiktoken") is None:
        raise NoTokenizerError(
            "a tokenizer needs the package tiktoken, which is not installed",
            "pip install 'entitlement-sidecar[tokens]', or `bytes_per_token: 3.4`",
        )
    folder = _folder()
    if folder is None:
        raise NoTokenizerError(
            f"{FOLDER} is not set: where is the vocabulary of `{name}`?",
            f"set it to a folder with the file {VOCABULARIES[name].file}; it is never downloaded",
        )
    return _loaded(name, folder)


@lru_cache(maxsize=8)
def _loaded(name: str, folder: Path) -> Callable[[bytes], int]:
    path, digest = folder / VOCABULARIES[name].file, VOCABULARIES[name].digest
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise NoTokenizerError(
            f"the vocabulary of `{name}` cannot be read: {path}: {error.strerror}",
            f"put it there, or set {FOLDER} to its folder; it is never downloaded",
        ) from error
    if found != digest:
        raise NoTokenizerError(
            f"{path} is not the vocabulary of `{name}`: its SHA-256 is {found}", f"it should be {digest}"
        )
    with _told(folder):
        encoding: Any = import_module("tiktoken").get_encoding(name)

    def count(text: bytes) -> int:
        return len(encoding.encode_ordinary(text.decode("utf-8", "replace")))

    return count


def _folder() -> Path | None:
    """The folder that was named, or the one inside an installed litellm, which has both vocabularies."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    litellm = find_spec("litellm")
    places = (litellm.submodule_search_locations if litellm is not None else None) or ()
    return next((Path(place, "litellm_core_utils", "tokenizers") for place in places), None)


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[FOLDER]
        else:
            os.environ[FOLDER] = before
