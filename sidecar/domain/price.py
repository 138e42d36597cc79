"""How usage becomes an amount: exactly, and rounded once, up.

A price knows nothing of where usage comes from. All rates of one price share a denominator, so that a charge is one
sum of integer products and one division:

    0.15 per 1M and 0.60 per 1M of credits (scale 6)  ->  15/100 and 60/100 base units  ->  3 and 12 over 20
    ceil((3 x 1200 + 12 x 300) / 20) = 360 base units = 0.00036 credits
"""

import math
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Self

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT, Unit, parse, render
from sidecar.domain.counters import Stand
from sidecar.domain.errors import InvalidInput

Number = int | Fraction
"""What a meter reads: a whole number, or an exact decimal."""
Usage = Mapping[str, Number]
"""Meter name to what it read; a meter that is not there read nothing."""

FLAT = "flat"
"""The line of a price that is due once a request; no meter has this name."""

DECIMALS_MAX = 9
"""Decimal places that a reading may have; more of them are not a measure but noise."""

_NUMBER = re.compile(rf"([0-9]{{1,16}})(?:\.([0-9]{{1,{DECIMALS_MAX}}}))?\Z", re.ASCII)
_DECIMAL = r"([0-9]{1,15})(?:\.([0-9]{1,18}))?"
_COUNT = r"([1-9][0-9]{0,11})([kM]?)"
RATE = re.compile(rf"{_DECIMAL}(?:\s+per\s+(started\s+)?{_COUNT})?\Z", re.ASCII)
WHOLE = re.compile(rf"{_COUNT}\Z", re.ASCII)
MARKUP = re.compile(r"([0-9]{1,5})(?:\.([0-9]{1,9}))?\s?%\Z", re.ASCII)
_MULTIPLES = {"": 1, "k": 1000, "M": 1_000_000}


class Package(msgspec.Struct, frozen=True):
    """A rate for each started package: `amount` base units for each `size` of the meter that is begun."""

    amount: Fraction
    size: int


def parse_rate(text: str, unit: Unit) -> Fraction:
    """``0.15 per 1M``, ``0.002 per 1000`` or ``3`` (per one) as base units of `unit` for one of the meter."""
    rate = parse_rate_or_package(text, unit)
    if isinstance(rate, Package):
        raise InvalidInput("packages cannot stand here; a rate is a decimal number, as in 0.002 or 0.15 per 1M")
    return rate


def parse_rate_or_package(text: str, unit: Unit) -> Fraction | Package:
    """As `parse_rate`; ``0.10 per started 1000`` is a package."""
    match = RATE.match(text.strip())
    if match is None:
        raise InvalidInput(
            "a rate is a decimal number, alone or `per` a number: 0.002, 2 per 1000, 0.15 per 1M, 1 per started 1000"
        )
    whole, fraction, started, per, multiple = match[1], match[2] or "", match[3], match[4] or "1", match[5] or ""
    amount = Fraction(int(whole + fraction) * 10**unit.scale, 10 ** len(fraction))
    size = int(per) * _MULTIPLES[multiple]
    return Package(amount, size) if started else amount / size


def parse_count(text: str) -> int:
    """A whole number above 0 of a meter: ``100``, ``10k``, ``1M``."""
    match = WHOLE.match(text.strip())
    if match is None:
        raise InvalidInput("a whole number above 0, such as 100, 10k or 1M")
    return int(match[1]) * _MULTIPLES[match[2]]


def parse_markup(text: str) -> Fraction:
    """``20%`` as what is added to one: 1/5."""
    match = MARKUP.match(text.strip())
    if match is None:
        raise InvalidInput("a markup is a percentage from 0%, such as 20% or 12.5%")
    return Fraction(int(match[1] + (match[2] or "")), 10 ** (2 + len(match[2] or "")))


def parse_flat(text: str, unit: Unit) -> int:
    """A decimal amount of `unit` in base units; InvalidInput says what would be right."""
    return parse(text, unit, "it")


class Line(msgspec.Struct, frozen=True):
    """One line of a price or of a charge explained: `amount` is exact, in base units, not rounded.

    `amount` is `read` times `rate`, always; `note` says what else one has to know to see why.
    """

    meter: str
    read: Number
    rate: Fraction
    amount: Fraction
    note: str = ""


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A flat part and one rate for each meter, in base units of one unit; make it with `Price.of`.

    `markup` is what is added to one of what they come to. The integers that a charge is worked out from have it in.
    """

    rates: Mapping[str, Fraction]
    flat: int
    markup: Fraction
    flat_numerator: int
    numerators: tuple[tuple[str, int], ...]
    denominator: int

    @classmethod
    def of(cls, rates: Mapping[str, Fraction], flat: int = 0, markup: Fraction = Fraction(0)) -> "Price":
        factor = 1 + markup
        denominator = math.lcm((flat * factor).denominator, *((rate * factor).denominator for rate in rates.values()))
        return cls(
            rates=dict(rates),
            flat=flat,
            markup=markup,
            flat_numerator=int(flat * factor * denominator),
            numerators=tuple((meter, int(rate * factor * denominator)) for meter, rate in rates.items()),
            denominator=denominator,
        )

    @property
    def meters(self) -> tuple[str, ...]:
        """The meters with a rate."""
        return tuple(self.rates)

    @property
    def notes(self) -> tuple[str, ...]:
        """What may surprise a reader of the price, in sentences."""
        return ()

    def at(self, stands: Mapping[str, Stand]) -> Self:  # noqa: ARG002 - a face
        """The same price where the counters with these names stand; those that are not named stand at 0."""
        return self

    def charge(self, usage: Usage, most: int = MAX_AMOUNT) -> int:
        """The amount for `usage`: flat part and all products added exactly, rounded up once, `most` at most."""
        total: Number = self.flat_numerator
        for meter, numerator in self.numerators:
            read = usage.get(meter)
            if read:
                total += numerator * read
        amount = -(-total // self.denominator)
        if amount > most:
            return most
        return amount

    charge_up_to = charge
    """The most that any usage up to `usage` is charged: with one rate for each meter, what `usage` itself is."""

    def lines(self, usage: Usage) -> list[Line]:
        """What `charge` adds up, line by line, before it rounds: flat part, each meter with a rate, the markup."""
        flat = [Line(FLAT, 1, Fraction(self.flat), Fraction(self.flat))] if self.flat or not self.meters else []
        lines = flat + [
            Line(meter, usage.get(meter, 0), rate, rate * usage.get(meter, 0)) for meter, rate in self.rates.items()
        ]
        return lines + markup_lines(lines, self.markup)

    lines_up_to = lines
    """What `charge_up_to` adds up."""


def markup_lines(lines: list[Line], markup: Fraction) -> list[Line]:
    """The line that adds `markup` to `lines`; none without one."""
    added = sum((line.amount for line in lines), Fraction(0)) * markup
    return [Line("markup", 1, added, added, f"{exact_text(markup * 100)}%")] if markup else []


def usage_text(usage: Usage, words: str = "") -> str:
    """``input_tokens=12 output_tokens=5``: what was used, without what was not, for journal and screens.

    `words` stand behind it, each with a space before it (see `usage_words`).
    """
    text = ""
    for meter, read in usage.items():
        if read:
            text += f" {meter}={read if type(read) is int else number_text(read)}"
    return (text + words)[1:]


def number_text(number: Number) -> str:
    """A reading as a decimal, exactly."""
    return str(number) if isinstance(number, int) else exact_text(number)


def parse_number(text: str) -> Number | None:
    """A reading from decimal text, 0 to 2^53 - 1; None for anything else, signs and exponents included."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    if match[2] is None:
        number: Number = int(match[1])
    else:
        number = Fraction(int(match[1] + match[2]), 10 ** len(match[2]))
    return number if number <= MAX_AMOUNT else None


def rate_text(rate: Fraction, unit: Unit) -> str:
    """A rate as one would write it: for one of the meter, or for a million of something small."""
    each = rate / 10**unit.scale
    return exact_text(each) if not rate or each >= Fraction(1, 1000) else f"{exact_text(each * 1_000_000)} per 1M"


def exact_text(value: Fraction) -> str:
    """A decimal, exactly if it has at most 18 places, else with ``~`` and 9 of them."""
    scale = next((scale for scale in range(19) if (value * 10**scale).denominator == 1), None)
    if scale is not None:
        return render(int(value * 10**scale), Unit(name="", scale=scale))
    return "~" + render(round(value * 10**9), Unit(name="", scale=9))
