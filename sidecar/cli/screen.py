"""What the client commands print: JSON for scripts, aligned text for people."""

import json
from collections.abc import Collection, Sequence


def show_json(document: object) -> None:
    print(json.dumps(document, ensure_ascii=False, indent=2))


def show_table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Collection[str] = ()) -> None:
    """Columns as wide as their widest cell; those whose titles are in `numbers` stand right."""
    cells = [list(titles), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rights = [title in numbers for title in titles]
    for row in cells:
        columns = zip(row, widths, rights, strict=True)
        print("  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in columns).rstrip())


def plural(count: int, word: str, many: str = "") -> str:
    """``1 rule``, ``2 rules``; `many` is the word for several where it takes more than an s."""
    return f"{count} {word if count == 1 else many or f'{word}s'}"


def printable(text: str) -> str:
    """Text that moves no cursor: names and ids are other people's."""
    return "".join(each if each.isprintable() else "�" for each in text)
