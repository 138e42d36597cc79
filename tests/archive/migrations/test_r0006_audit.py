"""An archive of before gets its audit log."""

from sidecar.archive.archive import Archive
from sidecar.archive.database import Database
from sidecar.domain.audit import AuditFilter
from tests.archive.databases import rewind
from tests.archive.test_audit import record


async def test_an_archive_of_before_has_a_log_from_now_on(
    archive: Archive, archive_url: str, database: Database
) -> None:
    await rewind(database, "0005")
    again = Archive(archive_url)
    await again.open()
    await again.append_audited([record(1)])
    assert (await again.audited(AuditFilter())).items == (record(1),)
    await again.close()
