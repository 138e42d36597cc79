"""How long to wait before the next attempt: short at first, then longer, and never in step with other processes."""

import random

FIRST_S = 0.05
MOST_S = 1.0


class Pauses:
    """Each pause is about twice the last one, from `FIRST_S` to `MOST_S`."""

    def __init__(self, first_s: float = FIRST_S, most_s: float = MOST_S) -> None:
        self._first_s = self._next_s = first_s
        self._most_s = most_s

    def next_s(self) -> float:
        """The next pause, in seconds."""
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, self._most_s)
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 — spreads attempts, guards nothing.

    def reset(self) -> None:
        """The trouble is over: begin short again."""
        self._next_s = self._first_s
