"""Documents with versions, in both databases."""

import asyncio

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.documents import Changes, Document
from sidecar.domain.errors import Conflict, NotFound, SidecarError, VersionConflict


async def put(archive: Archive, key: str, body: bytes = b"{}", expected: int | None = None) -> Document:
    return await archive.put_document("top_up_package", key, body, expected=expected, now_ms=1_000)


async def test_a_document_counts_its_versions(archive: Archive) -> None:
    first = await put(archive, "small", b'{"a":1}', expected=0)
    assert first == Document(kind="top_up_package", key="small", version=1, body=b'{"a":1}', updated_at_ms=1_000)
    assert (await put(archive, "small", b'{"a":2}', expected=1)).version == 2
    assert (await put(archive, "small", b'{"a":3}')).version == 3
    kept = (await archive.changed_documents(0)).documents
    assert [(each.key, each.version, each.body) for each in kept] == [("small", 3, b'{"a":3}')]


async def test_what_was_changed_meanwhile_is_not_overwritten(archive: Archive) -> None:
    await put(archive, "small")
    with pytest.raises(Conflict, match="There is a top up package 'small' already"):
        await put(archive, "small", expected=0)
    with pytest.raises(VersionConflict, match="has version 1 now, not 7: read it again"):
        await put(archive, "small", expected=7)
    with pytest.raises(VersionConflict, match="is gone, not 1"):
        await put(archive, "other", expected=1)
    with pytest.raises(VersionConflict):
        await archive.remove_document("top_up_package", "small", expected=2, now_ms=1)
    with pytest.raises(NotFound, match="no top up package 'other'"):
        await archive.remove_document("top_up_package", "other", expected=None, now_ms=1)


async def test_a_document_that_is_made_again_goes_on_counting(archive: Archive) -> None:
    await put(archive, "small")
    await archive.remove_document("top_up_package", "small", expected=1, now_ms=2)
    with pytest.raises(NotFound):
        await archive.remove_document("top_up_package", "small", expected=None, now_ms=2)
    assert (await put(archive, "small", expected=0)).version == 2


async def test_changes_are_told_once_and_in_order(archive: Archive) -> None:
    assert await archive.changed_documents(0) == Changes()
    await put(archive, "a")
    await put(archive, "b")
    first = await archive.changed_documents(0)
    assert [each.key for each in first.documents] == ["a", "b"]
    assert await archive.changed_documents(first.upto) == Changes(upto=first.upto)
    await archive.remove_document("top_up_package", "a", expected=None, now_ms=2)
    await put(archive, "b")
    then = await archive.changed_documents(first.upto)
    assert then.removed == (("top_up_package", "a"),)
    assert [(each.key, each.version) for each in then.documents] == [("b", 2)]


async def test_one_of_many_at_once_wins(archive: Archive) -> None:
    async def attempt(number: int) -> bool:
        try:
            await put(archive, "small", b"%d" % number, expected=0)
        except SidecarError:
            return False
        return True

    assert sum(await asyncio.gather(*(attempt(number) for number in range(8)))) == 1
    await asyncio.gather(*(put(archive, f"k{number}") for number in range(8)))
    changed = await archive.changed_documents(0)
    assert changed.upto == 9
    assert len(changed.documents) == 9
