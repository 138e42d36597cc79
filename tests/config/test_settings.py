"""Settings: defaults that can work, and secrets that never show."""

import msgspec
import pytest

from sidecar.config.settings import SECRETS, Admin, Settings, Store, Upstream
from sidecar.config.types import LEAVES, take

SECRET = "hush-hush"


def test_the_defaults_satisfy_their_own_ranges() -> None:
    for leaf in LEAVES.values():
        assert take(msgspec.to_builtins(leaf.default), leaf.annotation, text=False) == (leaf.default, []), leaf.name


def test_every_secret_is_a_setting() -> None:
    assert set(LEAVES) >= SECRETS


def test_no_repr_shows_a_secret() -> None:
    settings = Settings(
        admin=Admin(key=SECRET), store=Store(url=SECRET), upstream=Upstream(url="http://a", headers={"x": SECRET})
    )
    for shown in (repr(settings), str(settings), f"{settings.admin}", repr(settings.upstream)):
        assert SECRET not in shown
    assert "url='http://a'" in repr(settings)
    assert "key=''" in repr(Admin())


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"ley": "x"}, Admin)
