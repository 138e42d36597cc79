"""What was: the archive's answers, read after all that was written before the question.

A question first waits until the archive has passed the journal's end as it was when it was asked; a write that has to
be durable waits for its own place in the journal. It knows neither SQL nor Redis.
"""

from sidecar.domain.errors import ArchiveUnavailable
from sidecar.domain.journal import Position
from sidecar.services.written import Written
from sidecar.store.journal import Journal


class History:
    """The past of one tenant's environment.

    Everything raises ArchiveUnavailable when the archive does not answer, or does not catch up in time.
    """

    def __init__(self, journal: Journal, written: Written, *, wait_for_writes: bool = True) -> None:
        self._journal = journal
        self._written = written
        self._wait_for_writes = wait_for_writes

    async def written(self, customer_id: str, entry: str) -> None:
        """Return when what `entry` (a place in the journal of this customer's partition) says is archived.

        At once if `entry` is empty, for then nothing was written, or if writes need not wait.
        """
        if not entry or not self._wait_for_writes:
            return
        try:
            await self._written.archived_upto({self._journal.partition(customer_id): Position.parse(entry)})
        except ArchiveUnavailable as error:
            raise ArchiveUnavailable(
                "It is done and in effect, but the archive did not take it in time. It will be archived; to learn "
                "when, repeat the request with the same Idempotency-Key: nothing is done twice."
            ) from error
