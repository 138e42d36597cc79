"""What a rule does when a hold does not fit the balance."""

import msgspec

from sidecar.domain.clamp import Clamp


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """``on_short`` of a rule, in this order. With nothing set, the request is refused."""

    wait_ms: int = 0
    """How long it waits for the holds of other requests to come back."""
    clamp: Clamp | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What it does, in sentences for people."""
        notes = []
        if self.wait_ms:
            waits = f"{self.wait_ms / 1000:g} s" if self.wait_ms >= 1000 else f"{self.wait_ms} ms"
            notes.append(
                f"when the hold does not fit beside those in flight, the request waits for them up to {waits}"
            )
        if self.clamp is not None:
            notes.append(f"when the hold does not fit, {self.clamp.note}")
        return tuple(notes)


DENY = Shortage()
