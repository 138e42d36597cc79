"""The audit log while the archive is there, away, and back."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.archive.archive import Archive
from sidecar.domain.audit import Audited, AuditFilter
from sidecar.services.audit_trail import AT_ONCE, AuditTrail
from sidecar.tasks import Tasks
from tests.archive.test_audit import record
from tests.support.archives import new_archive
from tests.support.until import until


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncIterator[Archive]:
    archive = Archive(new_archive(tmp_path))
    await archive.open()
    yield archive
    await archive.close()


@pytest.fixture
async def trail(archive: Archive) -> AsyncIterator[AuditTrail]:
    trail = AuditTrail(archive, timeout_s=5, retry_s=0.01)
    tasks = Tasks()
    tasks.start(trail.run(), "audit trail")
    yield trail
    trail.close()
    assert await tasks.join(5)


async def kept(trail: AuditTrail) -> list[Audited]:
    return list((await trail.page(AuditFilter(), None, 1000)).items)


async def test_a_record_is_there_when_it_is_said_to_be(trail: AuditTrail) -> None:
    await trail.record(record(1))
    assert await kept(trail) == [record(1)]


async def test_many_are_written_together(trail: AuditTrail) -> None:
    await asyncio.gather(*(trail.record(record(number)) for number in range(AT_ONCE + 10)))
    assert (len(await kept(trail)), trail.waiting) == (AT_ONCE + 10, 0)


async def test_what_the_archive_cannot_take_is_logged_and_written_later(
    trail: AuditTrail, archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    await archive.close()
    await asyncio.wait_for(trail.record(record(1)), 4)
    assert trail.waiting == 1
    assert '"request_id":"req_1"' in caplog.text
    await archive.open()
    await until(lambda: trail.waiting == 0, "the archive")
    await trail.record(record(2))
    assert await kept(trail) == [record(2), record(1)]


async def test_an_answer_does_not_wait_for_ever(archive: Archive, caplog: pytest.LogCaptureFixture) -> None:
    trail = AuditTrail(archive, timeout_s=0.01)
    with caplog.at_level(logging.WARNING):
        await trail.record(record(1))
    assert "req_1" in caplog.text
    trail.close()
    await trail.run()
    assert trail.waiting == 1
