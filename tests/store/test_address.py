"""Store addresses: what is read, what is refused, and that a password never shows."""

import pytest

from sidecar.domain.errors import InvalidInput
from sidecar.store.address import Address, Kind, Node, parse_address


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
        ("redis+cluster://h", Address(kind=Kind.CLUSTER, host="h")),
        (
            "redis+cluster://u:p%40ss@h:1,[::1]:2,k",
            Address(
                kind=Kind.CLUSTER,
                host="h",
                port=1,
                more=(Node("::1", 2), Node("k", 6379)),
                username="u",
                password="p@ss",
            ),
        ),
        ("rediss+cluster://h?ca_file=/ca.pem", Address(kind=Kind.CLUSTER, host="h", tls=True, ca_file="/ca.pem")),
        (
            "redis+sentinel://h,k:1/main",
            Address(kind=Kind.SENTINEL, host="h", port=26379, more=(Node("k", 1),), service="main"),
        ),
        (
            "rediss+sentinel://:p@h/my%20service/3?sentinel_password=s%20w",
            Address(
                kind=Kind.SENTINEL,
                host="h",
                port=26379,
                service="my service",
                db=3,
                tls=True,
                password="p",
                sentinel_password="s w",
            ),
        ),
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
        ("redis://h,k", "names several hosts"),
        ("redis+cluster://h,", "has no host"),
        ("redis+cluster://:1", "has a port without its host"),
        ("redis+cluster://h,k:port", "is not valid"),
        ("redis+cluster://h/1", "which a cluster does not have"),
        ("redis+cluster://h?sentinel_password=x", "unknown option 'sentinel_password'"),
        ("redis+sentinel://h", "does not name the service"),
        ("redis+sentinel://h//1", "does not name the service"),
        ("redis+sentinel://h/main/one", "must be a number, got 'one'"),
        ("redis+other://h", "starts with redis+other://"),
    ],
)
def test_a_bad_address_says_what_is_wrong_and_what_is_right(url: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_address(url)
    assert says in caught.value.detail
    assert "redis://[user:password@]host" in caught.value.detail
    assert caught.value.field == "store.url"


@pytest.mark.parametrize(
    "url",
    [
        "redis://u:hunter2@h:1/2", "rediss://:hunter2@h", "unix://:hunter2@/s", "redis+cluster://u:hunter2@h,k",
        "redis+sentinel://:hunter2@h,k/main?sentinel_password=hunter2",
    ],
)  # fmt: skip
def test_a_password_never_shows(url: str) -> None:
    address = parse_address(url)
    assert "hunter2" not in f"{address} {address!r} {address.at(Node('n', 1))} {address.sentinel(Node('n', 1))}"
    more = "&" if "?" in url else "?"
    for broken in (url.replace("redis", "http").replace("unix", "file"), f"{url}{more}what=ever", f"{url}{more}db=x"):
        with pytest.raises(InvalidInput) as caught:
            parse_address(broken)
        assert "hunter2" not in str(caught.value)
