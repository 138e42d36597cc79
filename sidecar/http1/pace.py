"""How fast a client sends its body: slower than anybody needs is an attack, or a line that is dead.

A body that trickles keeps its connection, and what was made ready for it, as long as every byte comes within the idle
limit. So bytes are counted in windows too; time in which nobody read does not count.
"""


class Pace:
    """One window of one body."""

    __slots__ = ("_bytes", "_since_s")

    def __init__(self, now_s: float, received_bytes: int) -> None:
        self.restart(now_s, received_bytes)

    def restart(self, now_s: float, received_bytes: int) -> None:
        """The next window begins."""
        self._since_s = now_s
        self._bytes = received_bytes

    def too_slow(self, now_s: float, received_bytes: int, window_s: float, least_bytes_per_s: float) -> bool:
        """Whether a window has ended in which too little came; one in which enough came is followed by the next."""
        if now_s < self._since_s + window_s:
            return False
        if received_bytes - self._bytes < least_bytes_per_s * (now_s - self._since_s):
            return True
        self.restart(now_s, received_bytes)
        return False
