"""Quotes for requests whose body is a form: the same prices by the same fields, and none by a doubtful one."""

from fractions import Fraction

from sidecar.domain.forms import PartCounts, PartMeter
from sidecar.domain.hold_terms import Term
from sidecar.domain.metering import End, Meters
from sidecar.domain.meters.named import READERS
from sidecar.domain.outcomes import RefusalCode
from sidecar.domain.price import Price
from sidecar.domain.quotes import Quote, Quoter, Unquoted
from sidecar.domain.request_facts import RequestFacts
from tests.domain.test_quotes import MINI, NO_FIELDS, chat, facts, quoted

FORM = {b"content-type": b"multipart/form-data; boundary=x"}


def form(*fields: tuple[str, str]) -> bytes:
    parts = (f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields)
    return "".join(parts).encode() + b"--x--"


def of_form(quoter: Quoter, body: bytes | None, fields: dict[bytes, bytes] = FORM) -> Quote | Unquoted:
    return quoter.quote(RequestFacts(fields, b"/", b"", body, len(body or b""), form=True))


def test_the_fields_of_a_form_are_those_of_a_request() -> None:
    by_json = quoted(chat(), {"model": "mini", "max_tokens": 7})
    by_form = of_form(chat(), form(("max_tokens", "7"), ("model", "mini"), ("file", '"model" {"model":"model":"')))
    assert isinstance(by_form, Quote)
    assert (by_form.price, by_form.chosen_by) == (by_json.price, by_json.chosen_by)
    assert by_form.body is None
    assert by_form.form is None
    assert chat().estimate(
        RequestFacts(FORM, b"/", b"", form(("max_tokens", "7")), 30, form=True)
    ) == chat().estimate(facts({"max_tokens": 7}))


def test_a_form_that_may_be_read_in_another_way_never_gets_another_price() -> None:
    twice = form(("model", "mini"), ("model", "big"))
    for quoter in (chat(), chat(hold_when_unreadable=True)):
        unquoted = of_form(quoter, twice)
        assert isinstance(unquoted, Unquoted)
        assert unquoted.code is RefusalCode.UNREADABLE_REQUEST
        assert "more than once" in unquoted.detail
    # Where only the hold reads fields, the rule's way out is open.
    assert isinstance(of_form(chat(MINI), twice), Unquoted)
    assert isinstance(of_form(chat(MINI, hold_when_unreadable=True), twice), Quote)
    assert isinstance(of_form(chat(MINI, hold_when_unreadable=True), None), Quote)


def test_parts_are_held_by_a_term_and_charged_as_they_are_counted() -> None:
    meters = Meters(parts=(("size", PartMeter(("file",), PartCounts.BYTES)),))
    price = Price.of({"size": Fraction(2)})
    quoter = Quoter(meters=meters, price=price, hold={"size": Term.parse("request.body_bytes")})
    assert quoter.reads_body
    assert not quoter.reads_content
    body = form(("file", "abc"), ("other", "d"), ("file", "ef"))
    quotes = [of_form(quoter, None if whole else body) for whole in (True, False)]
    for quote in quotes:
        assert isinstance(quote, Unquoted if quote is quotes[0] else Quote)
    quote = quotes[1]
    assert isinstance(quote, Quote)
    assert quote.form is not None
    assert quote.hold == 2 * len(body)
    assert quote.form.see(body, last=True) == ""
    charge = quote.meter(200, NO_FIELDS).finish(End.COMPLETE, len(body), 0, 0)
    assert (charge.amount, charge.usage) == (10, "size=5")
    assert isinstance(of_form(quoter, body, NO_FIELDS), Unquoted)


def test_a_stream_that_is_asked_for_in_json_has_no_parts() -> None:
    meters = Meters(reader=READERS["openai.chat"], parts=(("size", PartMeter(("file",), PartCounts.BYTES)),))
    quoter = Quoter(meters=meters, price=MINI, hold=1)
    assert isinstance(quoter.quote(facts({"model": "mini", "stream": True})), Unquoted)
    assert isinstance(of_form(quoter, form(("stream", "true"))), Quote)
