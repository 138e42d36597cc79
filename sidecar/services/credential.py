"""The upstream's credential: read from a file that only we can read, and again when another one takes its place.

A Kubernetes Secret that is mounted changes in place some time after it was changed. A file that cannot be read, or
holds nothing that a header can, leaves the credential before it in force. It is never logged and never part of an
error.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sidecar.config.values import header_value
from sidecar.domain.errors import StartupError

log = logging.getLogger("sidecar.upstreams")

POLL_S: Final = 1.0
_MAX_BYTES: Final = 16_384


class Credential:
    """The field that every request to the upstream gets. StartupError when there is none to begin with."""

    def __init__(self, header: str, scheme: str, file: Path) -> None:
        """`scheme` stands before what the file has; without one, ``Bearer`` does in ``Authorization``."""
        self.header = header
        self._scheme = scheme or ("Bearer" if header.lower() == "authorization" else "")
        self._file = file
        self.reloads_total = 0
        self.failing: str | None = None
        """Why the file cannot be read now; None when it could."""
        self._secret, why_not = self._read()
        if why_not is not None:
            raise StartupError(f"upstream.credential_file {file} {why_not}; it must have the upstream's credential.")

    @property
    def value(self) -> str:
        """What the field has now."""
        return f"{self._scheme} {self._secret}".lstrip()

    async def watch(self, use: Callable[[], None]) -> None:
        """Look at the file until cancelled, and call `use` when it has another credential."""
        while True:
            await asyncio.sleep(POLL_S)
            secret, why_not = await asyncio.to_thread(self._read)
            if why_not is not None and self.failing is None:
                log.error(
                    "upstream.credential_file %s %s; the credential before it stays in use", self._file, why_not
                )
            self.failing = why_not
            if why_not is None and secret != self._secret:
                self._secret = secret
                self.reloads_total += 1
                use()
                log.info("the upstream's credential in %s has changed; the new one is in use", self._file)

    def _read(self) -> tuple[str, str | None]:
        """The credential, without the ends of lines after it, or what is wrong."""
        try:
            with self._file.open("rb") as file:
                text = file.read(_MAX_BYTES).decode("ascii").strip("\r\n")
        except OSError as error:
            return "", f"cannot be read: {(error.strerror or str(error)).lower()}"
        except UnicodeError:
            return "", "is not ASCII"
        if not text:
            return "", "is empty"
        return ("", "holds more than one line of plain text") if header_value(text) is not None else (text, None)

    def __repr__(self) -> str:
        return f"Credential(header={self.header!r}, file={str(self._file)!r})"
