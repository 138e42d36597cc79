"""Store addresses: what is read, what is refused, and that a password never shows."""

import pytest

from sidecar.domain.errors import InvalidInput
from sidecar.store.address import Address, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://localhost", Address(host="localhost")),
        (" redis://h:7000/4 ", Address(host="h", port=7000, db=4)),
        ("redis://:p%40ss@h", Address(host="h", password="p@ss")),
        ("redis://user:pass@[::1]:1", Address(host="::1", port=1, username="user", password="pass")),
        ("rediss://h/?ca_file=/etc/ca.pem", Address(host="h", tls=True, ca_file="/etc/ca.pem")),
        ("unix:///run/store.sock", Address(path="/run/store.sock")),
        ("unix:///a%20folder/s?db=3", Address(path="/a folder/s", db=3)),
        ("unix://:secret@/s", Address(path="/s", password="secret")),
    ],
    ids=str,
)
def test_an_address_is_read_and_written_back(url: str, address: Address) -> None:
    assert parse_address(url) == address
    if address.password is None and not address.ca_file:
        assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "has no scheme"),
        ("localhost:6379", "has no scheme"),
        ("http://h", "starts with http://"),
        ("redis://", "has no host"),
        ("redis://h:port", "is not valid"),
        ("redis://h:99999", "is not valid"),
        ("redis://[::1", "is not valid"),
        ("redis://h/one", "must be a number, got 'one'"),
        ("redis://h?db=1", "unknown option 'db'"),
        ("rediss://h?ca=x", "unknown option 'ca'"),
        ("unix://relative/path", "no absolute path"),
        ("unix://", "no absolute path"),
        ("unix:///s?timeout=1", "unknown option 'timeout'"),
        ("unix:///s?db=-1", "must be a number"),
    ],
)
def test_a_bad_address_says_what_is_wrong_and_what_is_right(url: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_address(url)
    assert says in caught.value.detail
    assert "redis://[user:password@]host" in caught.value.detail
    assert caught.value.field == "store.url"


@pytest.mark.parametrize("url", ["redis://u:hunter2@h:1/2", "rediss://:hunter2@h", "unix://:hunter2@/s"])
def test_a_password_never_shows(url: str) -> None:
    address = parse_address(url)
    assert "hunter2" not in f"{address} {address!r}"
    for broken in (url.replace("redis", "http").replace("unix", "file"), url + "?what=ever", url + "?db=x"):
        with pytest.raises(InvalidInput) as caught:
            parse_address(broken)
        assert "hunter2" not in str(caught.value)
