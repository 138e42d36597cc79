from pathlib import Path

import pytest

from tests.config.linting import warnings

MATCH = "match: {method: POST, path: '/v1/{kind}/chat/completions'}\n"
NO_ANY = 'no price for "*": requests with any other value are refused with 403'


def priced(price: str) -> str:
    """A rule that measures what it has rates for."""
    return f"{MATCH}{'usage: openai.chat' if 'tokens' in price else ''}\nprice: {price}"


@pytest.mark.parametrize(
    ("price", "found"),
    [
        ("{by: request.model, rates: {a: {flat: 1}, '*': deny}}", []),
        ("{by: request.model, rates: {a: {flat: 1}, '*': {flat: 2}}}", []),
        ("{by: request.model, rates: {a: {flat: 1}}}", [(NO_ANY, "rates: {a: {flat: 1}}}")]),
        (
            "{by: [path.kind, query.x], rates: {a: {b: {flat: 1}}, '*': deny}}",
            [(NO_ANY, "a: {b: {flat: 1}}, '*': deny}}")],
        ),
        (
            "{by: path.kind, rates: {a: {by: header.X, rates: {b: {flat: 1}}}, '*': deny}}",
            [(NO_ANY, "rates: {b: {flat: 1}}}, '*': deny}}")],
        ),
        (
            "[{price: {by: path.kind, rates: {a: {flat: 1}}}}, {effective_at: 2030-01-01, price: {flat: 1}}]",
            [(NO_ANY, "rates: {a: {flat: 1}}}}, {effective_at: 2030-01-01, price: {flat: 1}}]")],
        ),
    ],
)
def test_values_without_a_price(tmp_path: Path, price: str, found: list[tuple[str, str]]) -> None:
    assert warnings(tmp_path, priced(price)) == found


@pytest.mark.parametrize(
    ("names", "never"),
    [
        (("gpt-4*", "gpt-4o*"), ('"gpt-4o*" never decides: "gpt-4*" before it matches all that it matches')),
        (("*-mini", "gpt*-mini"), ('"gpt*-mini" never decides: "*-mini" before it matches all that it matches')),
        (("gpt-4o*", "gpt-4*"), None),
        (("gpt-4*", "gpt-4o"), None),
        (("a*", "b*"), None),
    ],
)
def test_patterns_behind_a_wider_one(tmp_path: Path, names: tuple[str, ...], never: str | None) -> None:
    listed = ", ".join(f"'{name}': {{flat: 1}}" for name in (*names, "*"))
    found = [said for said, _ in warnings(tmp_path, priced(f"{{by: request.model, rates: {{{listed}}}}}"))]
    assert found == ([never] if never else [])


@pytest.mark.parametrize(
    ("price", "found"),
    [
        ("{input_tokens: 1}", []),
        ("{input_tokens: 2.50}", [("more than 1 credits for each of `input_tokens`", "2.50}")]),
        ("{input_tokens: 2500 per 1k}", [("more than 1 credits for each of `input_tokens`", "2500 per 1k}")]),
        ("{input_tokens: 2 per started 1000, output_tokens: 1 per 1M}", []),
        (
            "{input_tokens: {graduated: [{up_to: 10, rate: 0}, {rate: 3}]}}",
            [("more than 1 credits for each of `input_tokens`", "3}]}}")],
        ),
        (
            "{input_tokens: 0, output_tokens: 1 per 1M}",
            [("`input_tokens` costs nothing", "0, output_tokens: 1 per 1M}")],
        ),
        ("{input_tokens: {rate: 0}, flat: 1}", [("`input_tokens` costs nothing", "{rate: 0}, flat: 1}")]),
        ("{input_tokens: {free: 10, rate: 1 per 1M}, flat: 0}", []),
        ("{input_tokens: 1 per 1M, cached_input_tokens: 0}", []),
        ("{input_tokens: 1 per 1M, cached_input_tokens: 1 per 1M}", []),
        (
            "{input_tokens: 1 per 1M, cached_input_tokens: 2 per 1M}",
            [("`cached_input_tokens` costs more than `input_tokens`", "2 per 1M}")],
        ),
        ("{by: request.model, rates: {own: {input_tokens: 0}, '*': {flat: 1}}}", []),
    ],
)
def test_rates_that_look_like_a_slip(tmp_path: Path, price: str, found: list[tuple[str, str]]) -> None:
    assert warnings(tmp_path, priced(price)) == found


@pytest.mark.parametrize(
    "price",
    [
        "{flat: 0}",
        "{input_tokens: 0}",
        "{by: request.model, rates: {a: {flat: 0}, '*': {input_tokens: 0}}}",
        "[{price: {flat: 0}}, {effective_at: 2030-01-01, price: {flat: 0}}]",
    ],
)
def test_a_price_of_nothing(tmp_path: Path, price: str) -> None:
    found = warnings(tmp_path, priced(price))
    assert found == [("nothing costs anything here", f"price: {price}")]
    assert warnings(tmp_path, f"{priced(price)}\nmin_charge: 1") == []
