"""When a customer's credentials were last seen to be good: which of them a process believes without the store."""

from typing import Final

CREDENTIALS_MAX: Final = 100
"""So many of one customer are remembered; when there are more, those are forgotten that were not used longest."""
TRUSTED_S: Final = 3600.0
"""So long after it was seen to be good a credential is believed, when its customer begins to spend."""


class Seen:
    """The credentials of one customer. Times are the caller's."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        # The one that was used last at the end.
        self._at: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._at)

    def __contains__(self, credential: str) -> bool:
        return credential in self._at

    def good(self, credential: str, now: float) -> None:
        """The store has taken it."""
        self._at.pop(credential, None)
        self._at[credential] = now
        if len(self._at) > CREDENTIALS_MAX:
            self._at.pop(next(iter(self._at)))

    def bad(self, credential: str) -> None:
        """The store does not take it."""
        self._at.pop(credential, None)

    def clear(self) -> None:
        """The store takes none."""
        self._at.clear()

    def trusts(self, credential: str, since: float) -> bool:
        """Whether it is believed by who begins to spend at `since`."""
        at = self._at.get(credential)
        return at is not None and since - at <= TRUSTED_S
