"""Exact amounts: integers of base units everywhere, decimals only in YAML, on the command line and on screens."""

import re

import msgspec

from sidecar.domain.errors import InvalidInput

MAX_AMOUNT = 2**53 - 1
"""Lua and JavaScript numbers are doubles: beyond this, integers are not exact."""

_DECIMAL = re.compile(r"(\d{1,16})(?:\.(\d{1,18}))?\Z", re.ASCII)


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted, and how many decimal places of it one base unit is."""

    name: str
    scale: int


CREDITS = Unit(name="credits", scale=6)


def checked(amount: object, what: str = "amount") -> int:
    """An integer of base units between 0 and 2^53 − 1, or `InvalidInput` that names `what`."""
    if type(amount) is not int:
        raise InvalidInput(f"{what} must be a whole number of base units, such as 1000000; got {amount!r}.", what)
    if not 0 <= amount <= MAX_AMOUNT:
        raise InvalidInput(f"{what} must be between 0 and {MAX_AMOUNT}; got {amount}.", what)
    return amount


def parse(text: str, unit: Unit, what: str = "amount") -> int:
    """Decimal text of `unit` to base units, exactly: ``parse("0.25", CREDITS) == 250_000``."""
    match = _DECIMAL.match(text.strip())
    if match is None:
        raise InvalidInput(f"{what} must be a decimal number such as 12 or 0.25; got {text!r}.", what)
    whole, fraction = match[1], match[2] or ""
    if len(fraction.rstrip("0")) > unit.scale:
        raise InvalidInput(
            f"{what} has more than {unit.scale} decimal places, the smallest amount of {unit.name} "
            f"is {render(1, unit)}; got {text!r}.",
            what,
        )
    return checked(int(whole + fraction[: unit.scale].ljust(unit.scale, "0")), what)


def render(amount: int, unit: Unit) -> str:
    """Base units to the shortest decimal text: ``render(250_000, CREDITS) == "0.25"``."""
    sign, digits = ("-", -amount) if amount < 0 else ("", amount)
    whole, fraction = divmod(digits, 10**unit.scale)
    decimals = f"{fraction:0{unit.scale}d}".rstrip("0") if unit.scale else ""
    return f"{sign}{whole}.{decimals}" if decimals else f"{sign}{whole}"
