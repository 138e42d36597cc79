"""Certificates for tests, from an authority of their own, with the dates that a test wants."""

import ssl
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec
import trustme

NAME = "injector.sidecar.svc"


class Files(msgspec.Struct, frozen=True):
    """A pair of files that can be written anew."""

    cert: Path
    key: Path

    @classmethod
    def of(cls, folder: Path) -> "Files":
        return cls(folder / "tls.crt", folder / "tls.key")

    def write(self, ends_at_s: float | None = None, *names: str) -> trustme.LeafCert:
        leaf = authority().issue_cert(
            *(names or (NAME, "127.0.0.1")),
            not_after=None if ends_at_s is None else datetime.fromtimestamp(ends_at_s, UTC),
            key_type=trustme.KeyType.ECDSA,
        )
        self.key.write_bytes(leaf.private_key_pem.bytes())
        self.cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        return leaf


@cache
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context
