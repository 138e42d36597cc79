"""Workers' reports to the process that answers for them: of who listens, however well it is."""

import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.proxy import reports
from sidecar.proxy.reports import Report, gather, serve_reports
from sidecar.telemetry import Metrics


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sc-") as made:
        yield Path(made)


async def test_a_report_is_made_anew_each_time(folder: Path) -> None:
    metrics, unready = Metrics(), ["It starts."]
    server = await serve_reports(folder / "0", lambda: Report(next(iter(unready), None), metrics.families()))
    assert [report.unready for report in await gather(folder) if report] == ["It starts."]
    metrics.refusals["unpriced"] += 1
    unready.clear()
    (report,) = await gather(folder)
    assert report is not None
    assert report.unready is None
    assert {family.name: family.samples for family in report.families}["sidecar_refusals"] == {("unpriced",): 1}
    server.close()


async def test_who_is_gone_does_not_count_and_its_place_can_be_taken(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "0"))
    assert await gather(folder) == []
    server = await serve_reports(folder / "0", lambda: Report(None, []))
    assert await gather(folder) == [Report(None, [])]
    server.close()


async def test_who_listens_and_says_nothing_hangs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "ANSWER_S", 0.05)
    server = await serve_reports(folder / "1", lambda: Report(None, []))
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(folder / "0"))
        hanging.listen(0)
        assert sorted(map(str, await gather(folder))) == sorted(map(str, [None, Report(None, [])]))
        # Its queue of connections is full by now.
        assert None in await gather(folder)
        assert None in await gather(folder)
    server.close()
