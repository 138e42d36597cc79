from sidecar.domain.book_lines import BookLines, moved
from sidecar.domain.journal import Kind, Move, Moved, Position, Totals


def written(*moments: int) -> BookLines:
    lines = BookLines("cus", 0)
    for seq, now_ms in enumerate(moments, 1):
        moves = [Move(Moved.SPENT, 1, seq), Move(Moved.OWED, 0, 1)]
        lines.write(Kind.COMMIT, now_ms, unit="credits", seq=seq, after=Totals(), moves=moves, charged=seq + 1)
    return lines


def test_positions_grow_like_those_of_a_stream() -> None:
    positions = [line.position for line in written(5, 5, 9, 8, 10).written]
    assert positions == [Position(5), Position(5, 1), Position(9), Position(9, 1), Position(10)]
    assert [line.charged for line in written(1, 2).written] == [2, 3]


def test_moves_add_up_by_what_and_block_in_one_unit() -> None:
    lines = written(1, 2).written
    assert moved(lines, "credits") == {(Moved.SPENT, 1): 3, (Moved.OWED, 0): 2}
    assert not moved(lines, "tokens")
