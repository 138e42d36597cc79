"""The largest value of one field of a request whose hold fits: ``max_tokens`` is lowered to what the balance buys.

A field is one of the JSON body, with dots into objects, or a parameter of the query as ``query.<name>``. Only its
bytes change. Each value is tried by a quote for the changed request, so that whatever a hold depends on is in it, the
size of the body too; what is found always fits, and is the largest if a larger value is never held cheaper.
"""

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.json_text import Place, place_of
from sidecar.domain.quotes import Quote, Unquoted
from sidecar.domain.request_facts import RequestFacts

QUERY = "query."
_WHOLE = re.compile(rb"(?:0|[1-9][0-9]*)\Z")
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Clamped(msgspec.Struct, frozen=True, kw_only=True):
    """A request that was changed to fit: `quote` is for it, and has its body; `query` is its query."""

    quote: Quote
    field: str
    value: int
    query: bytes


class Clamp(msgspec.Struct, frozen=True):
    """Lowers the one of `fields` that a request has, or the first of them when it has none; never below `least`."""

    fields: tuple[str, ...]
    least: int = 1

    @property
    def note(self) -> str:
        """What it does, in words for people."""
        return f"{' or '.join(self.fields)} is lowered to what the balance buys, to {self.least} at least"

    def fit(
        self, facts: RequestFacts, quote: Callable[[RequestFacts], Quote | Unquoted], most: int
    ) -> Clamped | None:
        """The request with the largest value whose hold is at most `most`, never above the client's own.

        None when `least` is held for more; when the value is not a whole number; and when servers could read the
        request in different ways: a field that is there twice, or several of the `fields`.
        """
        places = {field: _place(facts, field) for field in self.fields}
        present = [field for field, place in places.items() if place is None or place.value]
        chosen = present[0] if present else self.fields[0]
        place = places[chosen]
        if place is None or len(present) > 1:
            return None
        above = _bound(place.value, chosen)
        if above is None:
            return None

        def fitting(value: int) -> Clamped | None:
            changed = _changed(facts, chosen, place, value)
            quoted = quote(changed)
            if isinstance(quoted, Unquoted) or quoted.hold > most:
                return None
            if changed.body is not facts.body and quoted.body is None:
                quoted = msgspec.structs.replace(quoted, body=changed.body)
            return Clamped(quote=quoted, field=chosen, value=value, query=changed.query)

        return _largest(fitting, self.least, above)


def _largest(fitting: Callable[[int], Clamped | None], least: int, above: int) -> Clamped | None:
    """What fits with the largest value from `least` to below `above`.

    Values are doubled before they are halved: for a request that has no bound itself, the answer is a small number.
    Who cannot pay for `least` costs one quote.
    """
    best = fitting(least) if least < above else None
    if best is None:
        return None
    step = 1
    while best.value + step < above:
        better = fitting(best.value + step)
        if better is None:
            above = best.value + step
            break
        best, step = better, 2 * step
    while above - best.value > 1:
        value = (best.value + above) // 2
        better = fitting(value)
        if better is None:
            above = value
        else:
            best = better
    return best


def _place(facts: RequestFacts, field: str) -> Place | None:
    """Where the value of `field` stands; None where that is not certain."""
    if field.startswith(QUERY):
        return _query_place(facts.query, field.removeprefix(QUERY).encode())
    try:
        _object.decode(facts.body or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return place_of(facts.body or b"", field.split("."))


def _query_place(query: bytes, name: bytes) -> Place | None:
    """Where a parameter's value stands; quotes see to it that it is there once, for whoever reads it."""
    start = 0
    for part in query.split(b"&"):
        written, _, value = part.partition(b"=")
        if unquote_to_bytes(written.replace(b"+", b" ")) == name:
            return Place(query[: start + len(written)] + b"=", value, query[start + len(part) :])
        start += len(part) + 1
    return Place(query + (b"&" if query else b"") + name + b"=", b"", b"")


def _bound(value: bytes, field: str) -> int | None:
    """The client's own value, which is never reached: it did not fit. None for one that is no whole number."""
    if not value or value == b"null":
        return MAX_AMOUNT
    digits = unquote_to_bytes(value) if field.startswith(QUERY) else value
    return min(int(digits), MAX_AMOUNT) if len(digits) <= 4000 and _WHOLE.match(digits) else None


def _changed(facts: RequestFacts, field: str, place: Place, value: int) -> RequestFacts:
    text = b"%b%d%b" % (place.before, value, place.after)
    if field.startswith(QUERY):
        return msgspec.structs.replace(facts, query=text)
    return msgspec.structs.replace(facts, body=text, body_bytes=len(text))
