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

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT, Unit, parse, render
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
_RATE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,18}))?(?:\s+per\s+([1-9][0-9]{0,11})([kM]?))?\Z", re.ASCII)
_MULTIPLES = {"": 1, "k": 1000, "M": 1_000_000}


def parse_rate(text: str, unit: Unit) -> Fraction:
    """``0.15 per 1M``, ``0.002 per 1000`` or ``3`` (per one) as base units of `unit` for one of the meter."""
    match = _RATE.match(text.strip())
    if match is None:
        raise InvalidInput("a rate is a decimal number, alone or `per` a number: 0.002, 2 per 1000, 0.15 per 1M")
    whole, fraction, per, multiple = match[1], match[2] or "", match[3] or "1", match[4] or ""
    return Fraction(int(whole + fraction) * 10**unit.scale, 10 ** len(fraction) * int(per) * _MULTIPLES[multiple])


def parse_flat(text: str, unit: Unit) -> int:
    """A decimal amount of `unit` in base units; InvalidInput says what would be right."""
    return parse(text, unit, "it")


class Line(msgspec.Struct, frozen=True):
    """One line of a price or of a charge explained: `amount` is exact, in base units, not rounded."""

    meter: str
    read: Number
    rate: Fraction
    amount: Fraction


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """A flat part and one rate for each meter, in base units of one unit; make it with `Price.of`."""

    rates: Mapping[str, Fraction]
    flat: int
    numerators: tuple[tuple[str, int], ...]
    denominator: int

    @classmethod
    def of(cls, rates: Mapping[str, Fraction], flat: int = 0) -> "Price":
        denominator = math.lcm(*(rate.denominator for rate in rates.values()))
        numerators = tuple((meter, int(rate * denominator)) for meter, rate in rates.items())
        return cls(rates=dict(rates), flat=flat, numerators=numerators, denominator=denominator)

    def charge(self, usage: Usage, most: int = MAX_AMOUNT) -> int:
        """The amount for `usage`: flat part and all products added exactly, rounded up once, `most` at most."""
        total: Number = self.flat * self.denominator
        for meter, numerator in self.numerators:
            read = usage.get(meter)
            if read:
                total += numerator * read
        amount = -(-total // self.denominator)
        if amount > most:
            return most
        return amount

    def lines(self, usage: Usage) -> list[Line]:
        """What `charge` adds up, line by line, before it rounds: flat part first, then each meter with a rate."""
        flat = [Line(FLAT, 1, Fraction(self.flat), Fraction(self.flat))] if self.flat or not self.rates else []
        return flat + [
            Line(meter, usage.get(meter, 0), rate, rate * usage.get(meter, 0)) for meter, rate in self.rates.items()
        ]


def usage_text(usage: Usage) -> str:
    """``input_tokens=12 output_tokens=5``: what was used, without what was not, for journal and screens."""
    text = ""
    for meter, read in usage.items():
        if read:
            text += f" {meter}={read if type(read) is int else number_text(read)}"
    return text[1:]


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
