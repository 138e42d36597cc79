"""Control keys over a real archive, as two processes see them."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.control_keys import ADMIN_KEY_ID, mint
from sidecar.domain.errors import ArchiveUnavailable, Conflict, NotFound
from sidecar.domain.ids import new_id
from sidecar.services.catalogue import Catalogue
from sidecar.services.control_keys import USE_EVERY_MS, ControlKeys
from tests.support.archives import new_archive

ADMIN_KEY = "ck_live_0123456789abcdefghij"
Process = Callable[[], ControlKeys]


class Hands(msgspec.Struct):
    """A clock that a test sets."""

    now_ms: int = 1_700_000_000_000


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    archive = Archive(new_archive(tmp_path))
    await archive.open()
    yield archive
    await archive.close()


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
def process(archive: Archive, clock: Hands) -> Process:
    """Makes the keys of one more process."""

    def now_ms() -> int:
        return clock.now_ms

    def make() -> ControlKeys:
        catalogue = Catalogue(archive, now_ms=now_ms)
        return ControlKeys(catalogue, ADMIN_KEY, tenant="default", environment="live", now_ms=now_ms)

    return make


async def make(keys: ControlKeys, **terms: int) -> tuple[str, str]:
    """A new key of acme's: its id and its text."""
    key, text = await keys.make("acme", "test", name="shop", scopes=("credits:read",), created_by="admin", **terms)
    return key.key_id, text


async def test_the_operators_key_may_do_everything_at_home(process: Process) -> None:
    found = await process().find(ADMIN_KEY)
    assert found is not None
    assert (found.key_id, found.tenant, found.environment, found.may("*")) == (ADMIN_KEY_ID, "default", "live", True)


async def test_an_empty_key_lets_nobody_in(archive: Archive) -> None:
    with pytest.raises(AssertionError):
        ControlKeys(Catalogue(archive), "", tenant="default", environment="live", now_ms=lambda: 0)


async def test_a_key_works_at_once_also_elsewhere(process: Process) -> None:
    here, there = process(), process()
    key_id, text = await make(here)
    for keys in (here, there):
        found = await keys.find(text)
        assert found is not None
        assert (found.key_id, found.tenant, found.environment) == (key_id, "acme", "test")
        assert found.scopes == {"credits:read"}


async def test_another_secret_is_not_the_key(process: Process) -> None:
    keys = process()
    key_id, text = await make(keys)
    for wrong in (text[:-1] + ("A" if text[-1] != "A" else "B"), text.replace("ck_test", "ck_live"), "ck_test_x", ""):
        assert await keys.find(wrong) is None
    assert await keys.find(mint("test", new_id("ckey", 1, b"0123456789"), b"s" * 32)) is None
    assert keys.last_used_at_ms(key_id) is None


async def test_a_key_ends_when_it_shall(process: Process, clock: Hands) -> None:
    keys = process()
    _, text = await make(keys, expires_at_ms=clock.now_ms + 10)
    assert await keys.find(text) is not None
    clock.now_ms += 10
    assert await keys.find(text) is None


async def test_a_revoked_key_is_refused_everywhere_after_a_look(process: Process) -> None:
    here, there = process(), process()
    key_id, text = await make(here)
    assert await there.find(text) is not None
    revoked = await here.revoke(key_id, "acme", "test")
    assert (await here.find(text), revoked.status(0)) == (None, "revoked")
    # The look that every process takes twice a second.
    await there._catalogue.refresh()
    assert await there.find(text) is None
    assert await here.revoke(key_id, "acme", "test") == revoked
    with pytest.raises(Conflict):
        await here.rotate(key_id, "acme", "test", grace_ms=1)


async def test_a_rotation_leaves_the_former_secret_its_time(process: Process, clock: Hands) -> None:
    keys = process()
    key_id, first = await make(keys)
    _, second = await keys.rotate(key_id, "acme", "test", grace_ms=1_000)
    assert [await keys.find(text) is not None for text in (first, second)] == [True, True]
    clock.now_ms += 1_000
    assert [await keys.find(text) is not None for text in (first, second)] == [False, True]
    _, third = await keys.rotate(key_id, "acme", "test", grace_ms=0)
    assert [await keys.find(text) is not None for text in (second, third)] == [False, True]


async def test_two_processes_that_change_one_key_lose_nothing(process: Process) -> None:
    here, there = process(), process()
    key_id, text = await make(here)
    await there._catalogue.refresh()
    await here.rotate(key_id, "acme", "test", grace_ms=1_000)
    await there.revoke(key_id, "acme", "test")
    await here._catalogue.refresh()
    assert await here.find(text) is None


@pytest.mark.parametrize(("tenant", "environment"), [("acme", "live"), ("default", "test"), ("default", "live")])
async def test_a_key_is_not_there_for_others(process: Process, tenant: str, environment: str) -> None:
    keys = process()
    key_id, text = await make(keys)
    assert keys.all(tenant, environment) == []
    assert [key.key_id for key in keys.all("acme", "test")] == [key_id]
    with pytest.raises(NotFound) as refused:
        await keys.revoke(key_id, tenant, environment)
    with pytest.raises(NotFound) as unknown:
        await keys.revoke("ckey_nothing", tenant, environment)
    with pytest.raises(NotFound):
        await keys.rotate(key_id, tenant, environment, grace_ms=0)
    with pytest.raises(NotFound):
        keys.get(key_id, tenant, environment)
    assert refused.value.detail == unknown.value.detail
    assert await keys.find(text) is not None


async def test_uses_are_kept_once_a_minute(process: Process, archive: Archive, clock: Hands) -> None:
    here, there = process(), process()
    key_id, text = await make(here)
    await here.find(text)
    await here.flush()
    first = clock.now_ms
    for _ in range(3):
        clock.now_ms += USE_EVERY_MS // 4
        await here.find(text)
        await here.flush()
    assert here.last_used_at_ms(key_id) == clock.now_ms
    await there._catalogue.refresh()
    assert there.last_used_at_ms(key_id) == first
    clock.now_ms += USE_EVERY_MS
    await here.find(text)
    here.close()
    await here.run()
    await there._catalogue.refresh()
    assert there.last_used_at_ms(key_id) == clock.now_ms


async def test_without_the_archive_what_is_known_goes_on(process: Process, archive: Archive) -> None:
    keys, empty = process(), process()
    key_id, text = await make(keys)
    await archive.close()
    assert await keys.find(text) is not None
    assert await keys.find(mint("test", new_id("ckey", 1, b"0123456789"), b"s" * 32)) is None
    await keys.flush()
    with pytest.raises(ArchiveUnavailable):
        await keys.revoke(key_id, "acme", "test")
    with pytest.raises(ArchiveUnavailable):
        await empty.find(text)
    assert await empty.find(ADMIN_KEY) is not None
