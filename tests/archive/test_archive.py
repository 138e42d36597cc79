"""The face as others use it: opened, filled, asked and closed."""

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.errors import InvalidInput
from sidecar.domain.journal import Position
from tests.archive.teller import Clock, Teller


def test_an_address_that_is_none_is_refused_before_anything_is_opened() -> None:
    with pytest.raises(InvalidInput, match="must look like sqlite:///"):
        Archive("redis://localhost")


async def test_what_is_archived_is_there_after_closing(archive_url: str) -> None:
    archive = Archive(archive_url)
    await archive.open()
    teller = Teller(Clock())
    lines = [teller.grant(100), teller.commit((1, 30))]
    await archive.append(3, lines, Position())
    await archive.close()
    again = Archive(archive_url)
    await again.open()
    assert await again.positions() == {3: lines[-1].position}
    await again.append(3, [teller.commit((1, 1))], lines[-1].position)
    assert [entry.charged for entry in (await again.entries()).items] == [1, 30, 0]
    assert [each async for each in again.verify_chain()] == []
    await again.close()


async def test_entries_are_readable_while_others_are_written(archive: Archive) -> None:
    """An export that stands still keeps nobody from writing."""
    teller = Teller(Clock())
    lines = [teller.grant(100), teller.commit((1, 1))]
    await archive.append(3, lines, Position())
    export = archive.export()
    first = await anext(export)
    await archive.append(3, [teller.commit((1, 1))], lines[-1].position)
    assert first.seq == 1
    assert [entry.seq async for entry in export] == [2]


async def test_another_tenant_has_an_archive_of_its_own_beside_it(archive: Archive, archive_url: str) -> None:
    others = [Archive(archive_url, tenant="acme", environment=name, apart=True) for name in ("live", "test")]
    for each in others:
        await each.open()
    await others[0].put_document("package", "small", b"{}", expected=0, now_ms=1)
    counted = [len((await each.changed_documents(0)).documents) for each in (archive, *others)]
    assert counted == [0, 1, 0]
    assert len({str(each) for each in (archive, *others)}) == 3
    for each in others:
        await each.close()
