"""Each recipe does what it says."""

import shutil
from pathlib import Path

import pytest

from tests.support.walkthrough import walk

PAGES = sorted(
    page for page in (Path(__file__).parents[1] / "docs" / "recipes").glob("*.md") if page.stem != "README"
)

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="the recipes use curl")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.stem))
async def test_it_does_what_it_says(page: Path, tmp_path: Path) -> None:
    await walk(page, tmp_path)
