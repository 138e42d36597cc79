"""The webhook's certificate: served as the files have it now, without a restart, and with a warning before it ends.

A new pair is tried in a context of its own before any handshake sees it: files that are changed one after the other,
or that do not belong together, never break what is served. Connections that are open keep what they began with.
"""

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sidecar.domain.errors import StartupError

log = logging.getLogger("sidecar.injector")

LOOK_S: Final = 5.0
"""How often the files are looked at."""
_DAY_S: Final = 86_400


class Certificates:
    """One pair of PEM files. `reloads` counts by outcome: `loaded`, `failed`. `now_s` is the wall clock."""

    def __init__(
        self,
        cert_file: Path,
        key_file: Path,
        *,
        warning_days: float,
        now_s: Callable[[], float],
        look_s: float = LOOK_S,
    ) -> None:
        self._files = (cert_file, key_file)
        self._warning_s = warning_days * _DAY_S
        self._now_s = now_s
        self._look_s = look_s
        self._seen: tuple[bytes, bytes] | None = None
        self._failed: tuple[bytes, bytes] | None = None
        self._said = ""
        self._warned_at_s = float("-inf")
        self._current = _context()
        self.expires_at_s = 0.0
        self.reloads: Counter[str] = Counter()
        self.context = _context()
        """For the server; each handshake gets the newest pair."""
        self.context.sni_callback = self._use_current

    def open(self) -> None:
        """Load the pair for the first time. StartupError when it cannot be served."""
        try:
            self._load(self._read())
        except (OSError, ValueError) as error:
            raise StartupError(
                f"The certificate {self._files[0]} with the key {self._files[1]} cannot be served: {_why(error)}; "
                "name a pair of PEM files with --tls-cert and --tls-key."
            ) from error

    async def watch(self) -> None:
        """Look again and again, for ever."""
        while True:
            self.look()
            await asyncio.sleep(self._look_s)

    def look(self) -> None:
        """Take a new pair if there is one, and serve the old one on when it cannot be. Warn before the end."""
        try:
            pair = self._read()
            if pair not in {self._seen, self._failed}:
                self._try(pair)
        except OSError as error:
            self._complain(error)
        left_s = self.expires_at_s - self._now_s()
        if left_s < self._warning_s and self._now_s() - self._warned_at_s >= _DAY_S:
            self._warned_at_s = self._now_s()
            ends = "has ended" if left_s <= 0 else f"ends in {left_s / _DAY_S:.1f} days"
            log.warning("the certificate %s %s: without a new one no pod in scope can be made", self._files[0], ends)

    def _try(self, pair: tuple[bytes, bytes]) -> None:
        try:
            self._load(pair)
        except (OSError, ValueError) as error:
            self._failed = pair
            self._complain(error)
            return
        self.reloads["loaded"] += 1
        self._said, self._warned_at_s = "", float("-inf")
        log.info("the certificate %s is served as it is now", self._files[0])

    def _complain(self, error: OSError | ValueError) -> None:
        self.reloads["failed"] += 1
        if (said := _why(error)) != self._said:
            log.error("the new certificate %s cannot be served: %s; the old one is", self._files[0], said)
            self._said = said

    def _load(self, pair: tuple[bytes, bytes]) -> None:
        context = _context()
        # A key that wants a password is a mistake: nobody is there to be asked.
        context.load_cert_chain(*self._files, password="")
        expires_at_s = min(_ends(certificate) for certificate in _certificates(pair[0].decode("latin-1")))
        if self._read() != pair:
            raise ValueError("the files are being changed")
        self._current, self._seen, self._failed, self.expires_at_s = context, pair, None, expires_at_s

    def _read(self) -> tuple[bytes, bytes]:
        cert, key = self._files
        return cert.read_bytes(), key.read_bytes()

    def _use_current(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> None:
        """Called at the start of each handshake, with and without a name."""
        del name, context
        connection.context = self._current


def _context() -> ssl.SSLContext:
    return ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no such pair").lower().replace("_", " ")
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _certificates(pem: str) -> Iterator[bytes]:
    """The DER of each certificate in the file."""
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    for block in pem.split(begin)[1:]:
        yield ssl.PEM_cert_to_DER_cert(f"{begin}{block.partition(end)[0]}{end}")


def _ends(der: bytes) -> float:
    """When a certificate ends (RFC 5280 §4.1): the ssl module tells this of other people's certificates only."""
    _, tbs, _ = _element(der, _element(der, 0)[1])
    tag, start, end = _element(der, tbs)
    if tag == 0xA0:  # The version, which may be left out.
        tag, start, end = _element(der, end)
    for _ in ("signature's algorithm", "issuer", "validity"):
        _, start, end = _element(der, end)
    _, _, before_ends = _element(der, start)
    tag, start, end = _element(der, before_ends)
    text = der[start:end].decode("ascii")
    # A UTCTime has two digits for the year, from 1950 to 2049; dates from 2050 on are a GeneralizedTime.
    year = text if tag == 0x18 else ("19" if text[0] >= "5" else "20") + text
    return datetime.strptime(year, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start and end of the contents of the element at `at`."""
    tag, length, start = der[at], der[at + 1], at + 2
    if length >= 0x80:
        start += length - 0x80
        length = int.from_bytes(der[at + 2 : start], "big")
    return tag, start, start + length
