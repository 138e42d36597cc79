"""The tutorial does what it says."""

import shutil
from pathlib import Path

import pytest

from tests.support.walkthrough import walk

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the tutorial uses curl")


async def test_it_does_what_it_says(tmp_path: Path) -> None:
    await walk(PAGE, tmp_path)
