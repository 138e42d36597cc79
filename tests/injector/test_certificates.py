"""Certificates that are replaced while they are served, and those that end soon."""

import asyncio
import logging
import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from sidecar.domain.errors import StartupError
from sidecar.injector.certificates import Certificates
from tests.injector.authority import NAME, Files, trusting
from tests.support.until import until

NOW_S = 1_800_000_000.0
DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files.of(tmp_path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(files: Files, clock: Clock, ends_in_days: float = 90) -> Certificates:
    files.write(NOW_S + ends_in_days * DAY_S)
    certificates = Certificates(files.cert, files.key, warning_days=14, now_s=clock)
    certificates.open()
    return certificates


def served(
    certificates: Certificates, name: str | None = NAME, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> str:
    """The serial number that a handshake in memory shows."""
    client_in, client_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = trusting()
    context.check_hostname = name is not None
    context.minimum_version = context.maximum_version = version
    # Certificates of this test are for another day.
    context.verify_flags |= ssl.VerifyFlags(0x200000)
    client = context.wrap_bio(client_in, client_out, server_hostname=name)
    server = certificates.context.wrap_bio(client_out, client_in, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    shown = client.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", [NAME, None], ids=["named", "unnamed"])
def test_a_new_pair_is_served_from_the_next_handshake_on(
    files: Files, clock: Clock, name: str | None, version: ssl.TLSVersion
) -> None:
    certificates = opened(files, clock)
    first = served(certificates, name, version)
    certificates.look()
    assert served(certificates, name, version) == first
    assert certificates.reloads == {}
    files.write(NOW_S + 180 * DAY_S)
    certificates.look()
    assert served(certificates, name, version) != first
    assert certificates.reloads == {"loaded": 1}
    assert certificates.expires_at_s == NOW_S + 180 * DAY_S


async def test_the_files_are_looked_at_again_and_again_while_they_change(files: Files, clock: Clock) -> None:
    """Written one after the other, so that halves of two pairs lie there in between; each handshake works."""
    files.write(NOW_S + 90 * DAY_S)
    certificates = Certificates(files.cert, files.key, warning_days=14, now_s=clock, look_s=0.0005)
    certificates.open()
    watching = asyncio.ensure_future(certificates.watch())
    seen = {served(certificates)}
    for days in range(100, 105):
        await asyncio.to_thread(files.write, NOW_S + days * DAY_S)
        await until(lambda days=days: certificates.expires_at_s == NOW_S + days * DAY_S, "the new pair")  # type: ignore[misc]  # Bound now.
        seen.add(served(certificates))
    assert len(seen) == 6
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching


@pytest.mark.parametrize("ends_at_s", [NOW_S + DAY_S, 2_524_607_999.0, 2_524_608_000.0, 4_000_000_000.0])
def test_the_end_is_read_in_both_forms(files: Files, clock: Clock, ends_at_s: float) -> None:
    files.write(ends_at_s)
    # Tools write what a certificate is about above it.
    files.cert.write_bytes("subject=Größe\n".encode() + files.cert.read_bytes())
    certificates = Certificates(files.cert, files.key, warning_days=1, now_s=clock)
    certificates.open()
    assert certificates.expires_at_s == ends_at_s


def test_halves_of_two_pairs_are_never_served(files: Files, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    certificates = opened(files, clock)
    first, key = served(certificates), files.key.read_bytes()
    files.write(NOW_S + 180 * DAY_S)
    new_key = files.key.read_bytes()
    files.key.write_bytes(key)
    for _ in range(3):
        certificates.look()
    assert served(certificates) == first
    assert certificates.reloads == {"failed": 1}
    assert caplog.messages == [
        f"the new certificate {files.cert} cannot be served: key values mismatch; the old one is"
    ]
    files.key.write_bytes(new_key)
    certificates.look()
    assert served(certificates) != first
    assert certificates.reloads == {"failed": 1, "loaded": 1}


def test_files_that_vanish_are_told_once(files: Files, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    certificates = opened(files, clock)
    first = served(certificates)
    files.cert.unlink()
    certificates.look()
    certificates.look()
    assert served(certificates) == first
    assert len(caplog.messages) == 1
    assert "No such file or directory" in caplog.text


def test_a_warning_a_day_before_the_end(files: Files, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    certificates = opened(files, clock, ends_in_days=15)
    certificates.look()
    assert caplog.messages == []
    for hours in (25, 26, 48, 49, 24 * 20):
        clock.now_s = NOW_S + hours * 3_600
        certificates.look()
    assert [message.partition(f"{files.cert} ")[2].partition(":")[0] for message in caplog.messages] == [
        "ends in 14.0 days",
        "ends in 13.0 days",
        "has ended",
    ]
    files.write(NOW_S + 900 * DAY_S)
    certificates.look()
    assert len(caplog.messages) == 3


@pytest.mark.parametrize(
    ("cert", "key"),
    [
        (b"", None),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None),
        (None, b"nonsense"),
    ],
    ids=["empty", "no certificate", "no key"],
)
def test_what_cannot_be_served_keeps_it_from_starting(
    files: Files, clock: Clock, cert: bytes | None, key: bytes | None
) -> None:
    files.write(NOW_S + DAY_S)
    if cert is not None:
        files.cert.write_bytes(cert)
    if key is not None:
        files.key.write_bytes(key)
    with pytest.raises(StartupError, match=r"cannot be served: .*name a pair of PEM files with --tls-cert"):
        Certificates(files.cert, files.key, warning_days=1, now_s=clock).open()


def test_a_key_with_a_password_is_no_question_to_anybody(files: Files, clock: Clock) -> None:
    files.write(NOW_S + DAY_S)
    key = serialization.load_pem_private_key(files.key.read_bytes(), password=None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(StartupError, match="cannot be served"):
        Certificates(files.cert, files.key, warning_days=1, now_s=clock).open()


def test_missing_files_keep_it_from_starting(files: Files, clock: Clock) -> None:
    with pytest.raises(StartupError, match="No such file or directory"):
        Certificates(files.cert, files.key, warning_days=1, now_s=clock).open()
