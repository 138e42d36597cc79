"""What a rule does when a hold does not fit the balance."""

import msgspec

from sidecar.domain.clamp import Clamp


class Shortage(msgspec.Struct, frozen=True, kw_only=True):
    """``on_short`` of a rule. With nothing set, the request is refused."""

    clamp: Clamp | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What it does, in sentences for people."""
        return () if self.clamp is None else (f"when the hold does not fit, {self.clamp.note}",)


DENY = Shortage()
