"""Users of the store: their rules name what the code does, and every server takes them."""

import re
from pathlib import Path

import pytest

from sidecar.store.acl import User, acl_rules
from sidecar.store.commands import SCRIPTS
from sidecar.store.keys import Keys
from tests.support.store import StoreServer, servers, version

NAMES = ("default", "live")
CUSTOMER = "cus_" + "0" * 26
STORE = Path(__file__).parents[2] / "sidecar" / "store"
SENT = re.compile(r'(?:execute|pack)\(\s*"([A-Z]+)"')
ELSEWHERE = {"SENTINEL"}
"""Commands that go to sentinels, where other users are."""

WRITES, READS, NOTHING = "writes", "reads", "nothing"
PLACE = ("customer", "holds", "due", "journal")

OF_A_PROXY = {
    **dict.fromkeys(("due", "journal", "jobs", "denials", "request", "answers", "secret"), WRITES),
    "external": READS,
    "clock": READS,
    **dict.fromkeys(
        ("prefix", "holds_copy", "rebuilding", "archived", "business", "ledger_once", "once", "transfers"), NOTHING
    ),
}
"""What a proxy does with the keys that a method of `Keys` makes; for `of`, `account` and `lease` see below."""


def rules_of(user: User, *, redis_6: bool = False) -> str:
    tenant, environment = NAMES
    return acl_rules(user, tenant=tenant, environment=environment, redis_6=redis_6)


def allowed(rules: str, key: bytes) -> str:
    for rule in rules.split():
        kind, tilde, pattern = rule.partition("~")
        matched = re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), key.decode())
        if tilde and matched is not None:
            return READS if kind == "%R" else WRITES
    return NOTHING


def made_by(keys: Keys, name: str) -> list[bytes]:
    method = getattr(keys, name)
    count = method.__code__.co_argcount - 1
    first = {
        "due": 3,
        "journal": 3,
        "prefix": 3,
        "jobs": 3,
        "transfers": 3,
        "archived": 3,
        "denials": 400_000,
        "secret": "signing",
    }
    made = method(*[first.get(name, CUSTOMER), "a-key"][:count])
    return list(made) if isinstance(made, tuple) else [made]


def test_every_key_is_known_to_be_a_proxys_or_not() -> None:
    """Who adds a key says here whether proxies need it, and adds it to their rules if so."""
    makers = {
        name for name, method in vars(Keys).items() if not name.startswith("_") and name not in {"partition", "lease"}
        and callable(method)
    }  # fmt: skip
    assert makers == set(OF_A_PROXY)
    keys, rules = Keys(*NAMES), rules_of(User.PROXY)
    found = {name: {allowed(rules, key) for key in made_by(keys, name)} for name in makers}
    assert found == {name: {expected} for name, expected in OF_A_PROXY.items()}


def test_a_proxy_keeps_accounts_and_sees_no_details_of_keys() -> None:
    keys, rules = Keys(*NAMES), rules_of(User.PROXY)
    place = keys.of(CUSTOMER)
    assert {allowed(rules, key) for key in (*place.ledger, keys.account(CUSTOMER, "credits").account)} == {WRITES}
    assert {allowed(rules, key) for key in (place.keys, place.business)} == {NOTHING}
    assert allowed(rules, keys.account(CUSTOMER, "credits").terms) == NOTHING
    assert allowed(rules, keys.lease("polling")) == WRITES
    assert allowed(rules, keys.lease("worker")) == NOTHING


def test_the_control_plane_may_send_what_the_code_sends_and_no_more() -> None:
    """Read from the source: a command that is sent from a new place is allowed, or this fails."""
    sent = {name for path in STORE.glob("*.py") for name in SENT.findall(path.read_text())}
    called = {name for script in SCRIPTS for name in re.findall(r"redis\.p?call\('([A-Z]+)'", script.text)}
    named = re.findall(r"\+(\w+)", rules_of(User.CONTROL))
    connection = {"CLIENT", "SELECT", "EVAL", "EVALSHA", "ASKING"}
    assert {name.upper() for name in named} == (sent | called | connection) - ELSEWHERE


@pytest.mark.parametrize("binary", servers(), ids=version)
@pytest.mark.parametrize("user", User)
def test_every_server_takes_the_rules(binary: Path, user: User) -> None:
    server = StoreServer(binary=binary)
    server.start()
    try:
        with server.client() as client:
            redis_6 = int(client.info("server")["redis_version"].partition(".")[0]) < 7
            rules = rules_of(user, redis_6=redis_6).split()
            assert client.execute_command("ACL", "SETUSER", user, *rules)  # type: ignore[no-untyped-call]  # redis-py left it without types.
    finally:
        server.remove()
