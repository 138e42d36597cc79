"""The worked examples of the texts here, through HTTP."""

import pytest

from tests.control.examples.player import Example, Player, examples
from tests.support.control import Control


@pytest.mark.parametrize("example", [pytest.param(example, id=example.name) for example in examples()])
async def test_it_is_as_it_says(control: Control, example: Example) -> None:
    await Player(control).play(example)
