"""Addresses: which are taken, and that no password ever shows."""

import pytest

from sidecar.archive.address import parse_archive_address
from sidecar.domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///archive.db", "archive.db"),
        ("sqlite:////var/lib/sidecar/archive.db", "/var/lib/sidecar/archive.db"),
        (" sqlite:///a%20b.db ", "a b.db"),
    ],
)
def test_a_file(url: str, path: str) -> None:
    address = parse_archive_address(url)
    assert (address.path, address.dsn) == (path, "")
    assert str(address) == f"sqlite:///{path}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:s3cret@db.example:5433/ledger", "postgresql://ann:***@db.example:5433/ledger"),
        ("postgres://ann@db/ledger", "postgres://ann@db/ledger"),
        ("postgresql://db/ledger?sslmode=verify-full", "postgresql://db/ledger?sslmode=verify-full"),
        ("postgresql:///ledger?host=/run/pg&password=s3cret", "postgresql:///ledger?host=/run/pg&password=***"),
        (
            "postgresql://a:s3cret@b:s3cret@db/ledger?sslpassword=s3cret",
            "postgresql://a:***@db/ledger?sslpassword=***",
        ),
    ],
)
def test_a_server_never_shows_its_password(url: str, shown: str) -> None:
    address = parse_archive_address(url)
    assert address.dsn == url
    assert str(address) == shown
    assert "s3cret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "has no scheme"),
        ("archive.db", "has no scheme"),
        ("mysql://ann:s3cret@db/ledger", "starts with mysql://"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite://host/file.db", "names no file"),
        ("sqlite:///folder/", "names no file"),
        ("sqlite:///file.db?mode=ro", "takes no options"),
        ("postgresql://ann:s3cret@db", "names no database"),
        ("postgresql://ann:s3cret@db:high/ledger", "not valid"),
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        parse_archive_address(url)
    assert "s3cret" not in caught.value.detail
    assert caught.value.field == "archive.url"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////var/archive.db", "sqlite:////var/archive.acme.test.db"),
        ("sqlite:////var.d/archive", "sqlite:////var.d/archive.acme.test"),
        ("postgresql://ann:s3cret@db/ledger", "postgresql://ann:***@db/ledger (schema sidecar_acme_test)"),
    ],
)
def test_another_tenants_is_beside_it(url: str, shown: str) -> None:
    assert str(parse_archive_address(url).apart("acme", "test")) == shown


def test_a_long_name_of_a_schema_is_cut_and_stays_its_own() -> None:
    address = parse_archive_address("postgresql://db/ledger")
    schemas = {address.apart("t" * 62 + end, "live").schema for end in "ab"}
    assert len(schemas) == 2
    assert all(len(schema) <= 63 for schema in schemas)
