"""What can go wrong with a control request before it reaches the ledger; the statuses are in `domain.problems`."""

from collections.abc import Iterable

from sidecar.domain.errors import SidecarError
from sidecar.domain.limits import Rate


class Unidentified(SidecarError):
    """The control key is missing or not ours."""

    code = "unidentified"


class InsufficientScope(SidecarError):
    """The key is known, and may not do this; the detail names what it lacks."""

    code = "insufficient_scope"

    def __init__(self, missing: Iterable[str]) -> None:
        super().__init__(
            f"This control key lacks the scope {' and '.join(missing)}; make a key that has it, or use another one."
        )


class RateLimited(SidecarError):
    """The key, or its tenant, has called too often."""

    code = "rate_limited"

    def __init__(self, limit: Rate, wait_ms: int) -> None:
        whose = "this control key" if limit.name == "key" else "all control keys of this environment together"
        super().__init__(
            f"The limit is {limit.count} calls a minute for {whose}; the next one may come in {wait_ms} ms."
        )
        self.retry_after_s = -(-wait_ms // 1000)


class IdempotencyKeyRequired(SidecarError):
    """Credit moves, and without the key a repetition would move it twice."""

    code = "idempotency_key_required"

    def __init__(self) -> None:
        super().__init__(
            "This request moves credit, so it needs an Idempotency-Key header: send one that is the same when you "
            "repeat this request and new for each other one, such as `Idempotency-Key: signup-grant-alice`."
        )


class IdempotencyKeyInvalid(SidecarError):
    """The key is empty, too long, repeated, or has characters that cannot be seen."""

    code = "idempotency_key_invalid"

    def __init__(self) -> None:
        super().__init__("Idempotency-Key must be sent once and have 1 to 255 visible ASCII characters, no spaces.")


class NotReady(SidecarError):
    """The process is up and cannot serve; the detail says why."""

    code = "not_ready"
