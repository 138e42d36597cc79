"""`sidecar store acl`: a line that a server takes, with a password that works, and with none that is shown."""

from pathlib import Path

import pytest
import redis

from sidecar.cli.main import main
from sidecar.store.acl import User, acl_rules
from tests.support.ports import free_ports
from tests.support.store import StoreServer


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["store", "acl", *arguments])
    assert caught.value.code == code
    said = capsys.readouterr()
    return said.out, said.err


def test_a_server_that_reads_the_lines_lets_their_users_in(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    lines = [printed(capsys, user, "--password-file", str(password))[0] for user in User]
    assert "sesame" not in "".join(lines)
    file = tmp_path / "users.acl"
    file.write_text("".join(["user default off\n", *lines]))
    server = StoreServer("--aclfile", str(file), port=free_ports(1)[0])
    server.start()
    try:
        for user in User:
            with redis.Redis(port=server.port, username=f"sidecar-{user}", password="open sesame") as client:
                assert client.ping()
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.flushall()
    finally:
        server.remove()


def test_the_rules_are_those_of_the_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIDECAR_TENANT", "acme")
    monkeypatch.setenv("SIDECAR_ENVIRONMENT", "test")
    out, err = printed(capsys, "proxy", "--name", "shop", "--redis-6")
    rules = acl_rules(User.PROXY, tenant="acme", environment="test", redis_6=True)
    assert out == f"user shop reset on resetpass {rules}\n"
    assert err == "Nobody can log in as this user yet: it has no password. Name one with --password-file.\n"


@pytest.mark.parametrize("text", ["", "\n", None])
def test_a_password_that_is_none_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "password"
    if text is not None:
        file.write_text(text)
    out, err = printed(capsys, "proxy", "--password-file", str(file), code=1)
    assert not out
    assert err.startswith(f"sidecar: The password file {file} ")
