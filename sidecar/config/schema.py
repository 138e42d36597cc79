"""A JSON Schema (2020-12) of rule files, for editors: completion, and mistakes while one types.

It is made of what the checks are made of: the readers, the words to choose from, the expressions for names, rates and
amounts; a test compares its keys with those that are read. It says less than `sidecar rules check`: what depends on
two places at once, such as a rate for something that nothing measures, no schema can say well.
"""

import re
from collections.abc import Mapping
from typing import Any

from sidecar.config import (
    rule,
    rule_answers,
    rule_cost,
    rule_counters,
    rule_idempotency,
    rule_later,
    rule_limits,
    rule_match,
    rule_outage,
    rule_price,
    rule_shortage,
    rule_upgrade,
    rule_usage,
    rules,
)
from sidecar.config.tokenizers import VOCABULARIES
from sidecar.domain import price
from sidecar.domain.idempotency import OnRepeat
from sidecar.domain.metering import OnUnknown
from sidecar.domain.meters.named import READERS
from sidecar.domain.meters.pointers import Mode
from sidecar.domain.price import FLAT
from sidecar.domain.price_list import ANY
from sidecar.domain.retries import CAUSES, MOST, STATUSES
from sidecar.domain.rules import OnClientGone, OnExhausted
from sidecar.domain.store_down import OnStoreDown

DIALECT = "https://json-schema.org/draft/2020-12/schema"
Schema = dict[str, Any]

_ABOUT: Mapping[str, str] = {
    "name": "1 to 64 letters, digits, dots, _ and -; in metrics and in the ledger.",
    "match": "Which requests it is for: all conditions must hold. The first rule that matches decides.",
    "free": "Nothing is held or charged.",
    "feature": "What the customer's plan must have.",
    "errors": "The shape of refusals.",
    "identity": "Who pays: sources in order, the first that is there counts.",
    "unit": "What is counted, one of the settings' units.",
    "usage": "How usage is measured: a reader by its name, or meters with their sources.",
    "price": "What usage costs: rates by meter, prices by what the request or its answer says, versions in time.",
    "markup": "A percentage that is added to the price, such as 20%.",
    "hold": "What is set aside first: an amount, a term for each meter, or a percentile of recent costs.",
    "min_charge": "The least that a charged request costs.",
    "max_charge": "The most that one request costs, and holds.",
    "charge_on": "The statuses of answers that are charged.",
    "on_short": "When the hold does not fit: deny, wait for others, or lower a field to what the balance buys.",
    "on_store_down": "While the store does not answer: refuse, serve whom it knows, or serve out of leases.",
    "settle": "Later: an answer that accepts a job keeps its hold, until the upstream says what it cost.",
    "limits": "How many requests of a customer run at once, how fast requests and tokens may come.",
    "on_unreadable": "A body that is needed and cannot be read: refuse the request, or hold without it.",
    "shadow": "Refuse nothing: serve and count what would be refused, and do not charge it.",
    "on_unknown": "What a forwarded request costs whose usage is unknown.",
    "on_exhausted": "The hold grows while an answer streams; what becomes of one that cannot be paid for any more.",
    "on_client_gone": "Whether an answer is read to its end when its client has gone; else streams are left at once.",
    "upgrade": "The protocol that its requests may go over to, such as websocket.",
    "retry": "Which failed attempts are made again; the rule's requests may then come to the upstream twice.",
    "idempotency": "What becomes of a request that its client repeats with the same key, once it was charged.",
    "estimate": "How the tokens are estimated that an answer does not report: bytes for each token, or a tokenizer.",
}


_SHADOW: Schema = {"type": "boolean"}


def schema() -> Schema:
    """The schema of a rule file, for `json.dumps`."""
    defaults = _closed(
        identity=_ref("identity"),
        markup=_ref("markup"),
        estimate=_ref("estimate"),
        limits=_items(_limit()),
        shadow=_SHADOW,
    )
    top = _closed("version", "rules", version={"const": rules.VERSION}, defaults=defaults, rules=_items(_ref("rule")))
    return {"$schema": DIALECT, "title": "Rules of the sidecar", **top, "$defs": _definitions()}


def _definitions() -> Schema:
    return {
        "rule": _rule(),
        "match": _match(),
        "identity": _identity(),
        "usage": _usage(),
        "estimate": _estimate(),
        "price": _price(),
        "list": _list(),
        "choices": _mapping({"anyOf": [_DENY, _ref("price"), _ref("choices")]}),
        "rates": _rates(),
        "schedule": _schedule(),
        "tiers": _items(_tier()),
        "hold": {"if": {"type": "object", "required": ["percentile"]}, "then": _recent(), "else": _ref("terms")},
        "terms": {"anyOf": [_ref("amount"), _mapping(_number_or_text(), names=_pattern(rule_usage.METER))]},
        "amount": _number_or_text(_DECIMAL),
        "rate": _number_or_text(price.RATE.pattern),
        "count": {"anyOf": [{"type": "integer", "minimum": 1}, _pattern(price.WHOLE)]},
        "markup": _pattern(price.MARKUP),
        "statuses": _one_or_items(
            {"anyOf": [{"type": "integer", "minimum": 200, "maximum": 599}, _pattern(rule_answers.STATUS)]}
        ),
        "header": _pattern(rule_match.TOKEN),
        "pointer": {"type": "string", "pattern": "^/"},
    }


def _rule() -> Schema:
    named = _pattern(rule.NAME)
    properties: Schema = {
        "name": named,
        "match": _ref("match"),
        "free": {"const": True},
        "feature": named,
        "errors": {"enum": list(rule.ERRORS)},
        "identity": _ref("identity"),
        "unit": {"type": "string"},
        "usage": _ref("usage"),
        "price": _ref("price"),
        "markup": _ref("markup"),
        "hold": _ref("hold"),
        "min_charge": _ref("amount"),
        "max_charge": _ref("amount"),
        "charge_on": _ref("statuses"),
        "on_short": _on_short(),
        "limits": _items(_limit()),
        "on_unreadable": {"enum": list(rule.ON_UNREADABLE)},
        "on_unknown": {"enum": [str(way) for way in OnUnknown]},
        "on_client_gone": {"enum": [str(way) for way in OnClientGone]},
        "on_exhausted": {"enum": [str(way) for way in OnExhausted]},
        "estimate": _ref("estimate"),
        "upgrade": _pattern(rule_upgrade.PROTOCOL),
        "retry": _closed(
            "after",
            after=_items({"enum": [*CAUSES, *sorted(STATUSES)]}),
            most={"type": "integer", "minimum": 1, "maximum": MOST},
        ),
        "idempotency": _idempotency(),
        "on_store_down": _on_store_down(),
        "settle": _settle(),
        "shadow": _SHADOW,
    }  # fmt: skip
    described = {key: {"description": _ABOUT[key], **properties[key]} for key in rule.RULE_KEYS}
    return {
        **_closed("name", "match", **described),
        "if": {"required": ["free"]},
        "then": {"propertyNames": {"enum": list(rule.FREE_KEYS)}},
        "else": {"required": ["price"]},
    }


def _match() -> Schema:
    return _closed(
        "path",
        method=_one_or_items(_pattern(rule_match.METHOD)),
        path={"type": "string", "pattern": "^/"},
        host={"type": "string", "minLength": 1},
        headers=_mapping(_number_or_text(), names=_ref("header")),
    )


def _identity() -> Schema:
    trusted = {"name": _ref("header"), "from": _items({"type": "string"})}
    return _items(
        {
            **_closed(
                api_key=_closed("header", header=_ref("header"), scheme=_pattern(rule_match.TOKEN)),
                header=_closed("name", "from", **trusted),
            ),
            "minProperties": 1,
            "maxProperties": 1,
        }
    )


def _recent() -> Schema:
    number = {"type": "number", "exclusiveMinimum": 0, "maximum": 100}
    percentile = {"anyOf": [number, _pattern(rule_cost.PERCENTILE)]}
    return _closed("percentile", percentile=percentile, of=_ref("count"), at_first=_ref("terms"))


def _on_short() -> Schema:
    """`deny`, `wait 2s`, `clamp max_tokens`, or a mapping."""
    wait, clamp = _pattern(rule_shortage.WAIT.pattern), _one_or_items(_pattern(rule_shortage.CLAMPED))
    ways = [_closed("wait", wait=wait), _closed("clamp", wait=wait, clamp=clamp, least=_ref("count"))]
    return {"anyOf": [_pattern(rule_shortage.ON_SHORT), *ways]}


def _settle() -> Schema:
    words, pointer = _one_or_items({"type": "string"}), _ref("pointer")
    poll = _closed(
        *("path", "id", "state", "done"),
        path=_pattern(rule_later.PATH),
        id={"anyOf": [pointer, _closed("header", header=_ref("header"))]},
        every=_pattern(rule_later.EVERY.pattern),
        state=pointer,
        done=words,
        failed=words,
    )
    terms = _closed(on=_ref("statuses"), within=_pattern(rule_later.WITHIN.pattern), poll=poll)
    return {"anyOf": [{"const": rule_later.LATER}, terms]}


def _on_store_down() -> Schema:
    bounds = {"most": _ref("amount"), "total": _ref("amount"), "for": _pattern(rule_outage.FOR.pattern)}
    ways: Schema = {"enum": [str(way) for way in OnStoreDown]}
    return {"anyOf": [ways, _closed("allow", allow=_closed(**bounds))]}


def _idempotency() -> Schema:
    way = {"enum": [str(way) for way in OnRepeat]}
    keep, required = _pattern(rule_idempotency.KEEP.pattern), {"type": "boolean"}
    full = _closed("on_repeat", on_repeat=way, header=_ref("header"), required=required, keep=keep)
    return {"anyOf": [way, full]}


def _limit() -> Schema:
    """One of `in_flight`, `rate` and `tokens`, and what can stand beside it."""
    speed = _pattern(rule_limits.SPEED)
    keys: Schema = {"in_flight": _ref("count"), "rate": speed, "tokens": speed, "of": {"type": "string"}}
    keys |= {"burst": _ref("count"), "per": {"enum": list(rule_limits.PERS)}, "name": _pattern(rule_limits.NAME)}
    ways = (("in_flight", ("of", "burst")), ("rate", ("of",)), ("tokens", ()))
    one = [{"required": [kind], "properties": dict.fromkeys(others, False)} for kind, others in ways]
    return {**_closed(**keys), "oneOf": one}


def _estimate() -> Schema:
    tokenizer = {"enum": list(VOCABULARIES)}
    return {**_closed(bytes_per_token=_number_or_text(_DECIMAL), tokenizer=tokenizer), "maxProperties": 1}


def _usage() -> Schema:
    place = {"pointer": _ref("pointer"), "mode": {"enum": [str(mode) for mode in Mode]}}
    field, parameter = _pattern(rule_usage.FIELD), _pattern(rule_usage.PARAMETER)
    source = {
        **_closed(
            header=_ref("header"),
            trailer=_ref("header"),
            json=_ref("pointer"),
            sse=_closed("pointer", **place, event=_pattern(rule_usage.EVENT)),
            ndjson=_closed("pointer", **place),
            websocket=_closed("pointer", **place, event=_pattern(rule_usage.EVENT)),
            messages={"enum": list(rule_usage.SIDES)},
            bytes={"enum": ["request", "response"]},
            duration={"const": "ms"},
            status=_ref("statuses"),
            request=field,
            characters=field,
            query=parameter,
            path=_pattern(rule_usage.FIELD),
            part=_one_or_items(parameter),
            parts=_one_or_items(parameter),
            default=_number_or_text(_DECIMAL),
        ),
        "minProperties": 1,
        "maxProperties": len(rule_usage.BODIES),
    }
    reader = {"enum": list(READERS)}
    meters = _mapping(source, names=_pattern(rule_usage.METER))
    return {"anyOf": [reader, {**meters, "properties": {rule_usage.READER: {"anyOf": [reader, source]}}}]}


# --- Prices -------------------------------------------------------------------------------------------------------

_DENY: Schema = {"const": rule_price.DENY}
_DECIMAL = r"[0-9]+(?:\.[0-9]+)?"


def _price() -> Schema:
    version = _closed(
        "price", effective_at={"type": "string"}, until={"type": "string"}, price=_ref("price")
    )  # A version is no list of versions, but that is said best by the check.
    listed = {"anyOf": [{"required": ["by"]}, {"required": ["rates"]}]}
    return {
        "if": {"type": "array"},
        "then": _items(version),
        "else": {"if": listed, "then": _ref("list"), "else": _ref("rates")},
    }


def _list() -> Schema:
    """`rates` are as deep as `by` is long."""
    return {
        **_closed("by", "rates", by=_one_or_items(_pattern(rule_price.BY)), rates={"type": "object"}),
        "if": {"properties": {"by": {"type": "array", "minItems": 2}}},
        "then": {"properties": {"rates": _ref("choices")}},
        "else": {"properties": {"rates": _mapping({"if": _DENY, "else": _ref("price")})}},
    }


def _rates() -> Schema:
    names = {"anyOf": [{"const": FLAT}, _pattern(rule_usage.METER)]}
    each = {"if": {"type": "object"}, "then": _ref("schedule"), "else": _ref("rate")}
    return {**_mapping(each, names=names), "properties": {FLAT: _ref("amount")}, "not": {"required": [ANY]}}


def _schedule() -> Schema:
    ways = [{"required": [way]} for way in rule_price.WAYS]
    schedule = _closed(
        rate=_ref("rate"),
        graduated=_ref("tiers"),
        volume=_ref("tiers"),
        free=_ref("count"),
        over={"enum": list(rule_counters.OVER)},
        counter=_pattern(rule_counters.COUNTER),
    )
    return {**schedule, "oneOf": ways}


def _tier() -> Schema:
    tier = _closed(up_to=_ref("count"), rate=_ref("rate"), flat=_ref("amount"))
    return {**tier, "anyOf": [{"required": ["rate"]}, {"required": ["flat"]}]}


# --- Parts --------------------------------------------------------------------------------------------------------


def _closed(*required: str, **properties: Schema) -> Schema:
    """A mapping with these keys and no others."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": list(required)} if required else schema


def _mapping(values: Schema, *, names: Schema | None = None) -> Schema:
    """A mapping whose keys are the writer's own; it is not empty."""
    schema: Schema = {"type": "object", "additionalProperties": values, "minProperties": 1}
    return schema if names is None else {**schema, "propertyNames": names}


def _items(each: Schema) -> Schema:
    return {"type": "array", "items": each, "minItems": 1}


def _one_or_items(each: Schema) -> Schema:
    return {"if": {"type": "array"}, "then": _items(each), "else": each}


def _number_or_text(pattern: str = "") -> Schema:
    text: Schema = {"type": "string", "minLength": 1}
    return {"anyOf": [{"type": "number", "minimum": 0}, text | ({"pattern": _whole(pattern)} if pattern else {})]}


def _pattern(expression: re.Pattern[str]) -> Schema:
    return {"type": "string", "pattern": _whole(expression.pattern)}


def _whole(pattern: str) -> str:
    """An expression that the whole text must match, in the common part of Python's and ECMA's."""
    return f"^(?:{re.sub(r'[?]P<[a-z]+>', '', pattern.replace(chr(92) + 'Z', ''))})$"


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}
