"""A place in a document with typed questions; every wrong answer becomes a problem at that place, and None.

So a reader of documents goes on after a mistake and reports all of them. It knows no setting and no rule.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.config.problems import Problem, suggestion
from sidecar.config.source import Document, Path

_KINDS = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


class Cursor:
    """One value of a document; `problems` is shared by all cursors of one reading."""

    def __init__(self, document: Document, problems: list[Problem], path: Path = ()) -> None:
        self.document = document
        self.problems = problems
        self.path = path
        self.value: Any = document.data
        for step in path:
            self.value = self.value[step]

    @property
    def where(self) -> str:
        """``file:line`` of this value."""
        return f"{self.document.file}:{self.document.places[self.path].line}"

    def problem(self, message: str, hint: str = "", *, at_key: bool = False, offset: int = 0) -> None:
        self.problems.append(self.document.problem(self.path, message, hint, at_key=at_key, offset=offset))

    def mapping(self, wanted: str) -> "dict[str, Cursor]":
        """The entries of a mapping whose keys are free; empty after a problem."""
        if not isinstance(self.value, dict):
            self._mismatch(wanted)
            return {}
        if not self.value:
            self.problem(f"empty: expected {wanted}")
        return {key: Cursor(self.document, self.problems, (*self.path, key)) for key in self.value}

    def entries(self, known: Iterable[str], wanted: str) -> "dict[str, Cursor]":
        """The entries of a mapping whose keys are `known`; any other key is a problem."""
        names = tuple(known)
        entries = self.mapping(wanted)
        for key in [key for key in entries if key not in names]:
            entries.pop(key).problem(f"unknown key `{key}`", suggestion(key, names), at_key=True)
        return entries

    def items(self, wanted: str) -> "list[Cursor]":
        """The items of a list; empty after a problem."""
        if not isinstance(self.value, list):
            self._mismatch(wanted)
            return []
        if not self.value:
            self.problem(f"empty: expected {wanted}")
        return [Cursor(self.document, self.problems, (*self.path, index)) for index in range(len(self.value))]

    def one_or_items(self, wanted: str) -> "list[Cursor]":
        """The items of a list, or the value itself as the only one."""
        return self.items(wanted) if isinstance(self.value, list) else [self]

    def only(self, known: Iterable[str], wanted: str) -> "tuple[str, Cursor] | None":
        """The one entry of a mapping that has exactly one of the `known` keys."""
        entries = self.entries(known, wanted)
        if len(entries) > 1:
            self.problem(f"only one of these can stand here: {', '.join(entries)}", f"expected {wanted}")
        return next(iter(entries.items())) if len(entries) == 1 else None

    def text(self, wanted: str) -> str | None:
        if isinstance(self.value, str) and self.value:
            return self.value
        self._mismatch(wanted)
        return None

    def written(self, wanted: str) -> str | None:
        """Text or a number, as it was written: decimals stay exact."""
        if isinstance(self.value, str | int | float) and not isinstance(self.value, bool) and self.value != "":
            return self.document.text(self.path)
        self._mismatch(wanted)
        return None

    def flag(self) -> bool | None:
        if isinstance(self.value, bool):
            return self.value
        self._mismatch("true or false")
        return None

    def choice(self, options: Iterable[str] | Mapping[str, Any], wanted: str) -> str | None:
        """One of `options`; the problem names the closest, or all of them."""
        text = self.text(wanted)
        if text is None or text in options:
            return text
        self.problem(f"`{text}` is not {wanted}", suggestion(text, options, listing="there are"))
        return None

    def _mismatch(self, wanted: str) -> None:
        if self.value is None or self.value == "":
            self.problem(f"nothing here: expected {wanted}")
        else:
            self.problem(f"{_KINDS[type(self.value)]} here: expected {wanted}")
