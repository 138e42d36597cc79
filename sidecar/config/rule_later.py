"""``settle:`` of a rule file: ``later``, or ``{on: [202], within: 24h, poll: …}``."""

import re

from sidecar.config.cursor import Cursor
from sidecar.config.durations import Duration
from sidecar.config.rule_answers import read_statuses
from sidecar.config.rule_match import header_name
from sidecar.config.rule_price import parsed
from sidecar.domain.later import ID, Later, Poll
from sidecar.domain.meters.pointers import Pointer, parse_pointer
from sidecar.domain.price_counted import countings_in
from sidecar.domain.price_list import AnyPrice

KEYS = ("on", "within", "poll")
POLL = ("path", "id", "every", "state", "done", "failed")
LATER = "later"
WITHIN = Duration(("s", "m", "h", "d"), "30d", "2h or 7d")
EVERY = Duration(("s", "m", "h", "d"), "1h", "10s or 5m")
EVERY_S = 10
PATH = re.compile(r"/[A-Za-z0-9._~/{}-]*\Z", re.ASCII)


def read_later(cursor: Cursor) -> Later | None:
    """When the rule's requests are settled later; None beside any problem."""
    before = len(cursor.problems)
    if not isinstance(cursor.value, dict):
        return Later() if cursor.choice((LATER,), "when a request is settled") else None
    entries = cursor.entries(KEYS, ", ".join(KEYS))
    on = read_statuses(entries["on"]) if "on" in entries else Later().on
    within_s = WITHIN.read_s(entries["within"]) if "within" in entries else Later().within_s
    poll = _poll(entries["poll"]) if "poll" in entries else None
    return Later(on=on, within_s=within_s, poll=poll) if len(cursor.problems) == before else None


def check_later(cursor: Cursor, price: AnyPrice) -> None:
    """Report a price that nobody can name beforehand."""
    if countings_in(price):
        cursor.problem(
            "a price that counts over a period cannot be kept for later: nobody knows where it stands then",
            "leave `settle` out",
            at_key=True,
        )


def _poll(cursor: Cursor) -> Poll | None:
    entries, before = cursor.entries(POLL, ", ".join(POLL)), len(cursor.problems)
    for key, example in (("path", "/v1/jobs/{id}"), ("id", "/id"), ("state", "/status"), ("done", "[succeeded]")):
        if key not in entries:
            cursor.problem(f"no `{key}`", f"such as {key}: {example}")
    if len(cursor.problems) > before:
        return None
    header, pointer = _place_of_id(entries["id"])
    poll = Poll(
        path=_path(entries["path"]),
        id_header=header,
        id_pointer=pointer,
        every_s=EVERY.read_s(entries["every"]) if "every" in entries else EVERY_S,
        state=_pointer(entries["state"]),
        done=_words(entries["done"]),
        failed=_words(entries["failed"]) if "failed" in entries else frozenset(),
    )
    for word in sorted(poll.done & poll.failed):
        entries["failed"].problem(f"`{word}` is `done` as well", "a state is one of them")
    return poll if len(cursor.problems) == before else None


def _path(cursor: Cursor) -> str:
    text = cursor.text("a path such as /v1/jobs/{id}") or ""
    if text and (not PATH.match(text) or text.count(ID) != 1):
        cursor.problem(f"`{text}` is not the path of a job", "one path with {id} in it, such as /v1/jobs/{id}")
    return text


def _place_of_id(cursor: Cursor) -> tuple[bytes, Pointer]:
    if isinstance(cursor.value, dict):
        entries = cursor.entries(("header",), "header")
        if "header" not in entries:
            cursor.problem("no `header`: which field has the id?", "id: {header: x-job-id}")
            return b"", ()
        return header_name(entries["header"]) or b"", ()
    return b"", _pointer(cursor)


def _pointer(cursor: Cursor) -> Pointer:
    text = cursor.text("a JSON pointer such as /id")
    return parsed(cursor, text, parse_pointer, "a JSON pointer") or ()


def _words(cursor: Cursor) -> frozenset[str]:
    words = [item.text("a state such as succeeded") for item in cursor.one_or_items("states such as succeeded")]
    return frozenset(word for word in words if word is not None)
