"""The audit log, in both databases."""

import pytest

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.audit import Audited, AuditFilter
from sidecar.domain.errors import ArchiveUnavailable, InvalidInput
from tests.archive.databases import run


def record(number: int, key_id: str = "admin", customer_id: str = "") -> Audited:
    return Audited(
        audit_id=f"aud_{number:026}",
        at_ms=number,
        key_id=key_id,
        actor_id="shop",
        request_id=f"req_{number}",
        operation="create_customer",
        method="POST",
        route="/v1/customers",
        target="/v1/customers",
        customer_id=customer_id,
        status=201,
    )


async def test_it_is_read_from_its_end_in_pages(archive: Archive) -> None:
    await archive.append_audited([record(number) for number in range(1, 6)])
    seen, cursor = list[int](), None
    for _ in range(3):
        page = await archive.audited(AuditFilter(), cursor, 2)
        seen += [each.at_ms for each in page.items]
        cursor = page.next_cursor
        await archive.append_audited([record(len(seen) + 100)])
    assert (seen, cursor) == ([5, 4, 3, 2, 1], None)
    assert (await archive.audited(AuditFilter(to_ms=2))).items == (record(1),)
    with pytest.raises(InvalidInput):
        await archive.audited(AuditFilter(), "nothing", 2)


async def test_it_is_filtered(archive: Archive) -> None:
    await archive.append_audited([record(1), record(2, "ckey_1"), record(3, "ckey_1", "cus_1")])

    async def found(**wanted: object) -> list[int]:
        return [each.at_ms for each in (await archive.audited(AuditFilter(**wanted))).items]  # type: ignore[arg-type]  # one at a time

    assert await found(key_id="ckey_1") == [3, 2]
    assert await found(customer_id="cus_1") == [3]
    assert await found(actor_id="shop", from_ms=2, to_ms=3) == [2]
    assert await found(operation="grant") == []


async def test_what_is_told_twice_is_there_once(archive: Archive) -> None:
    await archive.append_audited([record(1)])
    await archive.append_audited([record(1), record(2)])
    await archive.append_audited([record(1), record(2)])
    assert [each.at_ms for each in (await archive.audited(AuditFilter())).items] == [2, 1]


@pytest.mark.parametrize("change", ["UPDATE audit SET status = 200", "DELETE FROM audit"])
async def test_nobody_can_change_it(archive: Archive, database: Database, change: str) -> None:
    await archive.append_audited([record(1)])
    with pytest.raises(ArchiveUnavailable, match="never changed"):
        await run(database, change)
    assert (await archive.audited(AuditFilter())).items == (record(1),)
