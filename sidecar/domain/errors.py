"""What has no answer. Expected refusals are values (see `outcomes`); these are exceptions.

`detail` is a full sentence for the caller: what was wrong, where, and what would be right. It never holds a secret.
Each class has a stable `code`; the HTTP status belongs to the faces, not to the error.
"""

from collections.abc import Mapping


class SidecarError(Exception):
    """Base of everything that we raise on purpose."""

    code: str = "internal"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class InvalidInput(SidecarError):
    """Input that cannot be taken: an amount, an id, a name, a field."""

    code = "invalid_input"

    def __init__(self, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.field = field


class Unsigned(SidecarError):
    """A token that we did not sign, or not for this."""

    code = "unidentified"


class Denied(SidecarError):
    """A refusal of the ledger where the caller is answered by exceptions. `members` say more of it, by name.

    `retry_after_s`: when it would pass, where that is known.
    """

    def __init__(
        self, code: str, detail: str, members: Mapping[str, object], *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.members = members
        self.retry_after_s = retry_after_s


class NotActive(SidecarError):
    """The reservation has ended; nothing was changed."""

    code = "reservation_not_active"


class AboveHold(SidecarError):
    """It costs more than is held, and that was not to be charged; the hold stays."""

    code = "above_hold"


class NoActiveRule(SidecarError):
    """The metric has no price."""

    code = "no_active_metering_rule"


class EventTimeOutOfRange(SidecarError):
    """Usage is dated too far back, or ahead."""

    code = "event_time_out_of_range"


class NotFound(SidecarError):
    """A customer, key or reservation that does not exist."""

    code = "not_found"


class Conflict(SidecarError):
    """The request contradicts what is already there."""

    code = "conflict"


class MergedInto(Conflict):
    """The customer is another one now."""

    def __init__(self, customer_id: str, into_id: str) -> None:
        super().__init__(f"{customer_id} was merged into {into_id}: name that one.")
        self.into_id = into_id


class StillAtWork(Conflict):
    """The same request, by the same idempotency key, has no answer yet."""

    code = "request_in_progress"

    def __init__(self) -> None:
        super().__init__("The first request with this idempotency key is still at work; repeat it in a second.")


class VersionConflict(SidecarError):
    """It was changed since it was read; nothing was changed by this."""

    code = "version_conflict"


class IdempotencyMismatch(SidecarError):
    """The idempotency key was used before for a different request."""

    code = "idempotency_mismatch"
    USED = "This idempotency key was used for a different request; use a new key for a new one."

    def __init__(self, detail: str = USED) -> None:
        super().__init__(detail)


class AmountOverflow(SidecarError):
    """The result would pass 2^53 − 1 base units; nothing was changed."""

    code = "amount_overflow"


class StoreError(SidecarError):
    """The store could not answer."""

    code = "store_unavailable"


class StoreUnavailable(StoreError):
    """No connection; the operation had no effect."""


class JournalFull(StoreUnavailable):
    """The store is there, but the journal can take no more until the archive is back; the operation had no effect."""


class StoreTimeout(StoreError):
    """No answer in time, or the connection broke after sending: **the effect is unknown**. Repeat by the same id."""

    code = "store_timeout"


class StoreCorrupt(StoreError):
    """The store answered something that our scripts never answer."""

    code = "store_corrupt"


class ArchiveUnavailable(SidecarError):
    """The archive could not answer, or is behind; what the store did stands, and is archived later."""

    code = "archive_unavailable"


class StartupError(SidecarError):
    """The process cannot go on; `detail` is one sentence for the person who started it."""

    code = "startup"


class OthersArchive(StartupError):
    """The archive keeps the ledger of another tenant or environment."""
