"""What this process has taken on, and what it does not take on: it sheds early and says so, before memory runs out.

Three bounds: requests in flight, how many of them may be one customer's, and the bytes of request bodies that are
read into memory because a rule needs their fields.
"""

from sidecar.http1.engine import Engine
from sidecar.http1.errors import End, Failure, Phase


def _shed(detail: str) -> Failure:
    return Failure(End.SHED, Phase.REQUEST, False, detail)


_FULL = _shed("This proxy handles as many requests as it may; try again soon.")
_BODIES = _shed("This proxy reads as many large request bodies as it may; try again soon.")


class Load:
    """Counts; shared by all requests of a process."""

    def __init__(self, engine: Engine, *, requests_max: int, share: float, bodies_max_bytes: int) -> None:
        """`share` is the part of `requests_max` that one customer's requests may be."""
        self._engine = engine
        self._requests_max = requests_max
        self._bodies_max_bytes = bodies_max_bytes
        self._in_flight: dict[str, int] = {}
        self.customer_max = max(1, int(requests_max * share))
        self.bodies_bytes = 0
        """Memory promised to bodies that are being read, or were and are not sent yet."""

    @property
    def customers(self) -> int:
        """How many customers have a request in flight."""
        return len(self._in_flight)

    def full(self) -> Failure | None:
        """Why no request may begin, if so."""
        return _FULL if self._engine.running > self._requests_max else None

    def enter(self, customer_id: str) -> bool:
        """A request of this customer begins, and must `leave`; False, and nothing to leave, if it has too many."""
        in_flight = self._in_flight.get(customer_id, 0)
        if in_flight >= self.customer_max:
            return False
        self._in_flight[customer_id] = in_flight + 1
        return True

    def leave(self, customer_id: str) -> None:
        """It has ended."""
        left = self._in_flight[customer_id] - 1
        if left:
            self._in_flight[customer_id] = left
        else:
            del self._in_flight[customer_id]

    def take_body(self, size: int) -> Failure | None:
        """Memory for a body of at most `size` bytes, to be given back; or why there is none.

        One body may always be read, whatever the bound.
        """
        if self.bodies_bytes and self.bodies_bytes + size > self._bodies_max_bytes:
            return _BODIES
        self.bodies_bytes += size
        return None

    def give_body_back(self, size: int) -> None:
        self.bodies_bytes -= size
