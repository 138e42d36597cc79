from sidecar.domain.overage import Overage, OveragePolicy
from sidecar.store.overage_text import overage_lines, overage_lines_of, overage_of_lines

POLICIES = {
    "credits": Overage(OveragePolicy.ALLOW, 5),
    "gpu": Overage(OveragePolicy.NOTIFY),
    "tokens": Overage(OveragePolicy.BLOCK),
}
LINES = "credits allow 5\ngpu notify 9007199254740991\ntokens block 0"


def test_policies_are_written_and_read() -> None:
    assert overage_lines(POLICIES) == LINES
    assert overage_of_lines(LINES) == POLICIES


def test_of_the_archive_s_record() -> None:
    assert overage_lines_of({"overage": {"credits": {"policy": "allow", "limit": 5}}}) == "credits allow 5"
    assert overage_lines_of({}) == ""
    assert overage_lines_of({"overage": {"credits": 7}}) == ""
