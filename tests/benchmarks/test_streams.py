"""What is compared is the same stream, once relayed and once metered to its end."""

from benchmarks.streams import measure


async def test_both_ways_are_measured_and_the_metered_one_is_charged() -> None:
    relayed_us, metered_us, cuttable_us, charge = await measure(rounds=2, events=50)
    assert relayed_us > 0
    assert metered_us > 0
    assert cuttable_us > 0
    assert charge.usage == 'input_tokens=31 output_tokens=200 request.model="gpt-4o-mini"'
    assert charge.source == "reported"
