"""Problems in configuration, all of them at once, each with its place.

A `Problem` is made where something is found wrong; it reads no file. It renders as compilers do::

    rules/chat.yaml:3:29: unknown key `metod`
        3 |     match: {path: /v1/chat, metod: POST}
          |                             ^
          = did you mean `method`?

A warning says so after its place, and stops nothing by itself.
"""

import difflib
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from sidecar.domain.errors import SidecarError

_TOO_LONG = 160


class Severity(StrEnum):
    """An error makes a configuration unusable; a warning is something that is probably not meant."""

    ERROR = "error"
    WARNING = "warning"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong, where, and what would be right.

    `file` names the source as the user knows it: a path, a variable (``SIDECAR_PROXY_LISTEN``) or a flag. `line` and
    `column` count from 1; line 0 means the source as a whole. `source` is the text of that line; empty when there is
    none, or when the line holds a secret.
    """

    file: str
    line: int = 0
    column: int = 0
    message: str
    hint: str = ""
    source: str = ""
    severity: Severity = Severity.ERROR

    def render(self) -> str:
        """``file:line:column: message`` (``warning: `` before it); then line, caret and hint, if there are any."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        warning = "warning: " if self.severity is Severity.WARNING else ""
        lines = [f"{place}: {warning}{self.message}"]
        gutter = " " * (4 + len(str(self.line)))
        if self.source and len(self.source) <= _TOO_LONG:
            # The caret's line repeats tabs, so that it stands below its character whatever a tab is wide.
            blank = "".join("\t" if character == "\t" else " " for character in self.source[: self.column - 1])
            shown = "".join(c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in self.source)
            lines += [f"    {self.line} | {shown}".rstrip(), f"{gutter} | {blank}^"]
        if self.hint:
            lines.append(f"{gutter} = {self.hint}")
        return "\n".join(lines)


class ConfigError(SidecarError):
    """Configuration that cannot be used; `problems` is never empty, `detail` shows them all."""

    code = "config"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(problem.render() for problem in self.problems))


def suggestion(word: str, known: Iterable[str], *, listing: str = "known here") -> str:
    """The hint for a `word` that is not one of `known`: the closest of them, or else all of them."""
    names = list(known)
    close = difflib.get_close_matches(word.lower(), {name.lower(): name for name in names}, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{next(name for name in names if name.lower() == close[0])}`?"
    return f"{listing}: {', '.join(names)}" if names else ""
