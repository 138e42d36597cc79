"""``limits:`` of a rule or of defaults: requests at once, requests and tokens in time."""

import re
from collections.abc import Iterable, Sequence

from sidecar.config.cursor import Cursor
from sidecar.config.problems import suggestion
from sidecar.config.rule_price import parsed
from sidecar.config.rule_usage import METER
from sidecar.domain.limits import InFlight, Limit, Per, Rate
from sidecar.domain.price import parse_count

KEYS = ("in_flight", "rate", "tokens", "of", "burst", "per", "name")
PERIODS_MS = {"second": 1000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}
_COUNT = r"[1-9][0-9]{0,11}[kKM]?"
SPEED = re.compile(rf"(?P<count>{_COUNT}) +per +(?P<period>{'|'.join(PERIODS_MS)})\Z", re.ASCII)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z", re.ASCII)
PERS = tuple(str(per) for per in Per)
TOKENS = ("input_tokens", "output_tokens")
_KINDS = ("in_flight", "rate", "tokens")
_BURST_MAX_MS = 30 * PERIODS_MS["day"]
_FASTEST_PER_MS = 10
_IN_FLIGHT_MAX = 100_000


def read_limits(cursor: Cursor, rule: str = "") -> tuple[Limit, ...]:
    """The limits of a rule, or of the defaults if it has no name; those without a problem."""
    limits: list[Limit] = []
    for item in cursor.items("a list of limits, such as - {rate: 60 per minute}"):
        limit = _read(item, rule)
        if limit is None:
            continue
        if any((limit.bucket, limit.per) == (other.bucket, other.per) for other in limits):
            item.problem(f"two limits are called `{limit.name}` here", "give one of them a `name`")
        limits.append(limit)
    return tuple(limits)


def check_limits(cursor: Cursor, limits: Iterable[Limit], meters: Sequence[str]) -> None:
    """Report what is counted of meters that the rule does not have."""
    for limit in limits:
        for meter in limit.of if isinstance(limit, Rate) else ():
            if meter not in meters:
                cursor.problem(
                    f"`{limit.name}` counts `{meter}`, which nothing measures here",
                    suggestion(meter, meters, listing="measured are") or "measure it in `usage`",
                    at_key=True,
                )


def that_apply(limits: Iterable[Limit], meters: Sequence[str]) -> tuple[Limit, ...]:
    """The default limits of a rule: those that count nothing which it does not measure."""
    return tuple(limit for limit in limits if isinstance(limit, InFlight) or set(limit.of) <= set(meters))


def check_shared_limits(limited: Iterable[tuple[tuple[Limit, ...], Cursor]]) -> None:
    """Report limits of one name that say different things: they count together."""
    first: dict[tuple[str, Per], tuple[Limit, Cursor]] = {}
    for limits, cursor in limited:
        for limit in limits:
            known, place = first.setdefault((limit.bucket, limit.per), (limit, cursor))
            if known != limit:
                cursor.problem(
                    f"the limit `{limit.name}` says something else at {place.where}",
                    "limits of one name count together: write the same, or give one of them another `name`",
                )


def _read(cursor: Cursor, rule: str) -> Limit | None:
    entries, before = cursor.entries(KEYS, "a limit"), len(cursor.problems)
    kinds = [kind for kind in _KINDS if kind in entries]
    if len(kinds) != 1:
        if entries:
            cursor.problem("a limit has one of in_flight, rate and tokens", "write one item for each limit")
        return None
    kind = kinds[0]
    per = (
        Per(entries["per"].choice(PERS, "what a limit is for") or Per.CUSTOMER) if "per" in entries else Per.CUSTOMER
    )
    name = entries["name"].text("the name of a limit") if "name" in entries else None
    if name is not None and not NAME.match(name):
        entries["name"].problem(
            f"`{name}` cannot be the name of a limit", "1 to 64 letters, digits, `.`, `_` and `-`"
        )
    for key, kinds_of_key in (("of", ("tokens",)), ("burst", ("rate", "tokens"))):
        if key in entries and kind not in kinds_of_key:
            entries[key].problem(f"`{key}` has no effect beside `{kind}`", "leave it out", at_key=True)
    prefix = f"{rule}/" if rule and name is None else ""
    if kind == "in_flight":
        most = parsed(entries[kind], entries[kind].written("a whole number above 0"), parse_count, "a count")
        if most is not None and most > _IN_FLIGHT_MAX:
            entries[kind].problem(f"more than {_IN_FLIGHT_MAX} at once", "write less, or leave it out")
        if most is None or len(cursor.problems) > before:
            return None
        name = name or kind
        return InFlight(name=name, bucket=prefix + name, per=per, most=most)
    rate = _rate(entries, kind, per, name, prefix)
    return rate if len(cursor.problems) == before else None


def _rate(entries: dict[str, Cursor], kind: str, per: Per, name: str | None, prefix: str) -> Rate | None:
    cursor = entries[kind]
    text = cursor.text("how many in which time, such as 60 per minute")
    match = SPEED.match(text) if text is not None else None
    if match is None:
        if text is not None:
            cursor.problem(f"`{text}` is not so much in a time", f"60 per minute; times are {', '.join(PERIODS_MS)}")
        return None
    count, period_ms = parse_count(match["count"]), PERIODS_MS[match["period"]]
    burst = count
    if "burst" in entries:
        written = entries["burst"].written("a whole number above 0")
        burst = parsed(entries["burst"], written, parse_count, "a count") or count
    if burst * period_ms > _BURST_MAX_MS * count:
        entries.get("burst", cursor).problem("more than comes back in 30 days", "write less")
    if kind == "rate" and count > _FASTEST_PER_MS * period_ms:
        cursor.problem("more than 10k requests per second", "write less, or leave it out")
    name = name or f"{kind}-{match['period']}"
    of = () if kind == "rate" else _of(entries)
    return Rate(name=name, bucket=prefix + name, per=per, count=count, period_ms=period_ms, burst=burst, of=of)


def _of(entries: dict[str, Cursor]) -> tuple[str, ...]:
    text = entries["of"].text("meters, such as input_tokens + output_tokens") if "of" in entries else None
    if text is None:
        return TOKENS
    meters = tuple(part.strip() for part in text.split("+"))
    for meter in meters:
        if not METER.match(meter):
            entries["of"].problem(f"`{meter}` is not a meter", "write names with + between them")
    return meters
