"""``on_unknown:`` and ``estimate:`` of a rule file: what a request costs whose usage nobody reported."""

from fractions import Fraction

from sidecar.config.cursor import Cursor
from sidecar.config.tokenizers import VOCABULARIES, NoTokenizerError, load_tokenizer
from sidecar.domain.estimates import Estimate
from sidecar.domain.metering import Meters, OnUnknown, Tariff
from sidecar.domain.price import parse_number
from sidecar.domain.price_list import AnyPrice, leaves

KEYS = ("bytes_per_token", "tokenizer")
RATIO_MAX = 1000


def read_estimate(cursor: Cursor) -> Estimate:
    """How tokens are estimated; the usual way after a problem."""
    found = cursor.only(KEYS, "`bytes_per_token: 3.4` or `tokenizer: o200k_base`")
    if found is None:
        return Estimate()
    key, value = found
    if key == "tokenizer":
        return _with_tokenizer(value)
    text = value.written("a number of bytes, such as 3.4")
    ratio = parse_number(text) if text is not None else None
    if text is not None and (not ratio or ratio > RATIO_MAX):
        value.problem(f"`{text}` is not a number of bytes", f"a decimal above 0, at most {RATIO_MAX}, such as 3.4")
    return Estimate(Fraction(ratio)) if ratio else Estimate()


def _with_tokenizer(cursor: Cursor) -> Estimate:
    name = cursor.choice(VOCABULARIES, "a vocabulary")
    if name is None:
        return Estimate()
    try:
        return Estimate(tokenizer=load_tokenizer(name))
    except NoTokenizerError as error:
        cursor.problem(str(error), error.hint)
        return Estimate()


def can_estimate(meters: Meters, price: AnyPrice) -> bool:
    """Whether the reader knows the text of answers, and every price of what it reads has a rate for tokens of it."""
    if meters.reader is None:
        return False
    read, estimates = set(meters.reader.meters), set(meters.reader.estimates)
    rated = [set(leaf.meters) for leaf in leaves(price) if not read.isdisjoint(leaf.meters)]
    return bool(rated) and not any(estimates.isdisjoint(names) for names in rated)


def on_unknown_of(said: str, *, estimable: bool) -> OnUnknown:
    """What a rule does that says nothing else: an estimate is nearer to the truth than the hold."""
    return OnUnknown(said or (OnUnknown.CHARGE_ESTIMATE if estimable else OnUnknown.CHARGE_HOLD))


def check_estimate(estimate: Cursor | None, on_unknown: Cursor | None, tariff: Tariff) -> None:
    """An estimate that could never be made, or would never be charged, is a mistake."""
    estimates = tariff.on_unknown is OnUnknown.CHARGE_ESTIMATE
    if on_unknown is not None and estimates and tariff.estimate is None:
        on_unknown.problem(
            "nothing here can be estimated: no reader that knows an answer's text, or no rate for its tokens",
            "write `charge_hold`",
        )
    elif estimate is not None and tariff.estimate is None:
        estimate.problem(
            "`estimate` has no effect: no reader that knows an answer's text, or no rate for its tokens",
            "leave it out",
            at_key=True,
        )
    elif estimate is not None and not estimates:
        estimate.problem(
            f"`estimate` has no effect beside `on_unknown: {tariff.on_unknown}`", "leave one of them out", at_key=True
        )
