import pytest

from sidecar.domain.ids import new_id
from sidecar.domain.price import Price
from sidecar.domain.price_dimensions import of_body, of_customer, of_header
from sidecar.domain.price_list import (
    AnswerPrices,
    AnyPrice,
    Choices,
    PriceList,
    PriceVersions,
    Version,
    body_fields,
    leaves,
    needs_body,
    needs_external_id,
)
from sidecar.domain.usage_words import recorded

MINI, LARGE, OTHER = Price.of({}, 1), Price.of({}, 2), Price.of({}, 3)
MODELS = Choices.of({"mini": MINI, "gpt-*": LARGE, "gpt-x*": OTHER, "no-*": None, "*": None})
CACHED = AnswerPrices(b"x-cache", Choices.of({"HIT": MINI, "*": LARGE}))
BY_STATUS = AnswerPrices(None, Choices.of({"2*": CACHED, "404": OTHER, "*": MINI}))
NO_FIELDS: dict[bytes, bytes] = {}
HIT: dict[bytes, bytes] = {b"x-cache": b" HIT "}
CUSTOMER_ID = new_id("cus", 1, bytes(10))
FOREVER = float("inf")


@pytest.mark.parametrize(
    ("model", "price"),
    [("mini", MINI), ("gpt-4", LARGE), ("gpt-x", LARGE), ("gpt-", LARGE), ("MINI", None), ("no-1", None), ("", None)],
)
def test_exact_wins_over_patterns_and_the_first_pattern_wins(model: str, price: Price | None) -> None:
    assert MODELS.find(model) is price


@pytest.mark.parametrize(
    ("value", "price"),
    [
        ("gpt-4", LARGE),
        ("GPT-4", None),
        ("Llama-3", OTHER),
        ("llama-3", None),
        ("gpt-mini", MINI),
        ("gpt-MINI", None),
        ("other", MINI),
        ("OTHER", MINI),
    ],
)
def test_other_capitals_do_not_lead_to_another_price(value: str, price: Price | None) -> None:
    prices = PriceList(of_body("model"), Choices.of({"gpt-mini": MINI, "gpt-*": LARGE, "Llama-3": OTHER, "*": MINI}))
    assert prices.find(value) is price


def test_customers_that_differ_in_capitals_are_two() -> None:
    prices = PriceList(of_customer(["Acme"]), Choices.of({"Acme": MINI, "Ac*": LARGE, "*": OTHER}))
    assert [prices.find(name) for name in ("Acme", "ACME", "AcME", "acme")] == [MINI, OTHER, LARGE, OTHER]


@pytest.mark.parametrize(
    ("names", "needed"), [(["acme"], True), (["a*"], True), (["*"], False), ([CUSTOMER_ID, "*"], False)]
)
def test_the_operators_own_id_is_needed_where_a_price_goes_by_it(names: list[str], needed: bool) -> None:
    by_customer = PriceList(of_customer(names), Choices.of(dict.fromkeys(names, MINI)))
    inside = PriceList(of_body("model"), Choices.of({"x": by_customer, "*": None}))
    for price in (by_customer, inside, PriceVersions([Version(0, 1, inside)], lambda: 0)):
        assert needs_external_id(price) is needed
    assert not needs_external_id(BY_STATUS)
    assert not needs_external_id(PriceList(of_body("model"), Choices.of({"x": MINI})))


def test_an_exact_denial_wins_over_a_pattern() -> None:
    assert Choices.of({"gpt-*": MINI, "gpt-9": None}).find("gpt-9") is None


def test_a_pattern_is_not_an_expression() -> None:
    prices = Choices.of({"a.b*": MINI})
    assert prices.find("a.b\nc") is MINI
    assert prices.find("axb") is None


@pytest.mark.parametrize(
    ("status", "fields", "price"),
    [
        (200, {b"x-cache": b" HIT "}, MINI),
        (201, {b"x-cache": b"MISS"}, LARGE),
        (200, {}, LARGE),
        (404, {b"x-cache": b"HIT"}, OTHER),
        (304, {}, MINI),
    ],
)
def test_the_answer_chooses(status: int, fields: dict[bytes, bytes], price: Price) -> None:
    found, words = BY_STATUS.of_answer(status, fields)
    assert found is price
    assert recorded(words).chosen_by["response.status"] == str(status)


def test_the_answer_says_why() -> None:
    chosen_by = {"response.status": "200", "response.header.x-cache": "HIT"}
    assert recorded(BY_STATUS.of_answer(200, HIT)[1]).chosen_by == chosen_by
    assert recorded(BY_STATUS.of_answer(200, NO_FIELDS)[1]).chosen_by["response.header.x-cache"] is None


def test_what_the_answer_may_choose_is_held_at_its_dearest() -> None:
    assert BY_STATUS.charge_up_to({}) == 3
    assert BY_STATUS.charge_up_to({}, 2) == 2
    assert BY_STATUS.lines_up_to({}) == OTHER.lines({})
    assert BY_STATUS.fallback is MINI
    assert AnswerPrices(None, Choices.of({"*": CACHED})).fallback is LARGE
    assert [BY_STATUS.name, CACHED.name] == ["the answer's status", "the answer's header x-cache"]


@pytest.mark.parametrize(("now_s", "price"), [(9, None), (10, MINI), (19.9, MINI), (20, LARGE), (30, None)])
def test_a_version_is_in_force_from_its_beginning_until_before_its_end(now_s: float, price: Price | None) -> None:
    assert PriceVersions([Version(10, 20, MINI), Version(20, 30, LARGE)], lambda: now_s).current() is price


def by(
    name: str, *prices: PriceList | Price | AnswerPrices | None, other: PriceList | Price | None = None
) -> PriceList:
    dimension = of_header(name[7:]) if name.startswith("header.") else of_body(name)
    return PriceList(dimension, Choices.of({**{str(index): price for index, price in enumerate(prices)}, "*": other}))


@pytest.mark.parametrize(
    ("price", "found", "fields", "needs"),
    [
        (MINI, [MINI], set(), False),
        (None, [], set(), True),
        (CACHED, [MINI, LARGE], set(), False),
        (by("model", MINI, None), [MINI], {"model"}, True),
        (by("model", MINI, other=LARGE), [MINI, LARGE], {"model"}, False),
        (by("header.a", MINI, None), [MINI], set(), False),
        (by("header.a", by("model", CACHED)), [MINI, LARGE], {"model"}, True),
        (by("model", by("size", MINI), other=by("size", other=LARGE)), [MINI, LARGE], {"model", "size"}, False),
        (PriceVersions([Version(0, FOREVER, by("model", MINI))], lambda: 0), [MINI], {"model"}, True),
    ],
)
def test_what_a_price_is_made_of(price: AnyPrice | None, found: list[Price], fields: set[str], needs: bool) -> None:
    assert list(leaves(price)) == found
    assert body_fields(price) == fields
    assert needs_body(price) is needs
