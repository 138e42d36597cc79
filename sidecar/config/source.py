"""YAML text to plain data, with the place of every key and value.

It knows nothing of rules or settings. Built on PyYAML's events rather than its constructors, because a configuration
must mean what its reader thinks it means: a repeated key, a word that YAML 1.1 takes for a boolean or a number in
base 60, a tag, a merge key, a second document are refused, each with its place. Depth, size and aliases are bounded.

Data is dict, list, str, int, float, bool and None; keys are always text. A place is addressed by its path:
``("rules", 0, "match", "path")``.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any, NamedTuple, NoReturn

import msgspec
import yaml
from yaml import events as ev

from sidecar.config.problems import ConfigError, Problem

Path = tuple[str | int, ...]

TEXT_MAX_BYTES = 1_048_576
DEPTH_MAX = 32
NODES_MAX = 100_000
ALIASES_MAX = 64

_NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
_BOOL = re.compile(r"(?:true|True|TRUE|(false|False|FALSE))\Z")
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})\Z", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?\Z", re.ASCII)
_WORD = re.compile(r"(?:yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)\Z")
_ODD_NUMBER = re.compile(
    r"[-+]?(?:0[0-9_]+|0b[01_]+|0o[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*_[0-9_]*(?:\.[0-9_]*)?"
    r"|[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|\.(?:inf|Inf|INF))\Z|\.(?:nan|NaN|NAN)\Z",
    re.ASCII,
)


class Place(NamedTuple):
    """Where a value stands, counted from 1; `key_line` and `key_column` are its key's, or the value's own.

    `text` is the text of a scalar as written (decimals are exact there), None for a mapping or a list. Character n of
    it stands at column `text_column` + n; 0 means that the text does not stand in one piece on one line.
    """

    line: int
    column: int
    key_line: int
    key_column: int
    text: str | None
    text_column: int


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One YAML file: its `data` and the place of every path in it."""

    file: str
    data: Any
    places: dict[Path, Place]
    lines: tuple[str, ...]
    digest: str = ""
    """SHA-256 of the file, in hexadecimal digits; empty for what was not read from one."""

    def text(self, path: Path) -> str | None:
        """The scalar at `path` as it was written, without quotes; None when it is a mapping or a list."""
        return self.places[path].text

    def problem(
        self, path: Path, message: str, hint: str = "", *, at_key: bool = False, offset: int = 0, secret: bool = False
    ) -> Problem:
        """A problem with the value (or the key) at `path`, or with character `offset` of its text.

        A path that is not in the file stands for the closest one above it. `secret` keeps the line's text out.
        """
        while path not in self.places:
            path = path[:-1]
        place = self.places[path]
        line, column = (place.key_line, place.key_column) if at_key else (place.line, place.column)
        if offset and not at_key and place.text_column:
            column = place.text_column + offset
        source = self.lines[line - 1] if line <= len(self.lines) and not secret else ""
        return Problem(file=self.file, line=line, column=column, message=message, hint=hint, source=source)


def read(path: FilePath) -> Document:
    """The document in a file; ConfigError when it cannot be read, is not UTF-8, or as `parse`."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError([Problem(file=str(path), message="no such file")]) from error
    except OSError as error:
        raise ConfigError([Problem(file=str(path), message=f"cannot be read: {error.strerror}")]) from error
    try:
        document = parse(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError([Problem(file=str(path), line=line, column=1, message="not UTF-8 text")]) from error
    return msgspec.structs.replace(document, digest=hashlib.sha256(raw).hexdigest())


def parse(text: str, file: str) -> Document:
    """The document in `text`; `file` is its name in problems. ConfigError with all problems of form."""
    if len(text) > TEXT_MAX_BYTES:
        raise ConfigError([Problem(file=file, message=f"larger than {TEXT_MAX_BYTES} bytes")])
    composer = _Composer(text, file)
    root = composer.compose()
    if root is None:
        root = _Node(None, 1, 1, "", 0)
    places: dict[Path, Place] = {}
    data = composer.place(root, (), (root.line, root.column), places)
    if composer.problems:
        raise ConfigError(composer.problems)
    return Document(file=file, data=data, places=places, lines=composer.lines)


class _Node(NamedTuple):
    """A value as composed: a mapping's entries are (key text, key line, key column, node)."""

    value: Any
    line: int
    column: int
    text: str | None
    text_column: int


_Entry = tuple[str, int, int, _Node]


class _Composer:
    """Events to nodes, then nodes to data and places: two steps, since an alias shares a node between two paths."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.lines = tuple(text.splitlines())
        self.problems: list[Problem] = []
        self._anchors: dict[str, _Node] = {}
        self._aliases = 0
        self._nodes = 0
        self._text = text
        self._events: Iterator[Any] = iter(())

    def compose(self) -> _Node | None:
        root: _Node | None = None
        try:
            self._events = yaml.parse(self._text, Loader=yaml.SafeLoader)
            for event in self._events:
                if isinstance(event, ev.DocumentStartEvent) and root is not None:
                    self._refuse(event, "a second document starts here", "one file holds one document")
                    break
                if isinstance(event, ev.NodeEvent):
                    root = self._node(event, 0)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            message = f"not valid YAML: {error.problem or error.context}"
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            self._stop(line, column, message, error.context if error.problem and error.context else "")
        except yaml.reader.ReaderError as error:
            before = self._text[: error.position]
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            self._stop(
                line, column, f"not valid YAML: character U+{ord(self._text[error.position]):04X} may not stand here"
            )
        return root

    def place(self, node: _Node, path: Path, key: tuple[int, int], places: dict[Path, Place]) -> Any:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            self._stop(node.line, node.column, f"more than {NODES_MAX} values", "aliases are counted each time")
        if len(path) > DEPTH_MAX:
            self._stop(node.line, node.column, f"nested deeper than {DEPTH_MAX} levels", "aliases are followed")
        places[path] = Place(node.line, node.column, *key, node.text, node.text_column)
        if isinstance(node.value, dict):
            entries: list[_Entry] = list(node.value.values())
            return {name: self.place(child, (*path, name), (line, column), places)
                    for name, line, column, child in entries}  # fmt: skip
        if isinstance(node.value, list):
            return [self.place(child, (*path, index), (child.line, child.column), places)
                    for index, child in enumerate(node.value)]  # fmt: skip
        return node.value

    def _node(self, event: Any, depth: int) -> _Node:
        line, column = _at(event)
        if depth > DEPTH_MAX:
            self._stop(line, column, f"nested deeper than {DEPTH_MAX} levels")
        if isinstance(event, ev.AliasEvent):
            return self._alias(event)
        if event.tag is not None and event.tag != "!":
            self._refuse(event, "tags are not used here", "quote a value to make it text")
        node: _Node
        if isinstance(event, ev.MappingStartEvent):
            node = _Node(self._mapping(depth), line, column, None, 0)
        elif isinstance(event, ev.SequenceStartEvent):
            items = []
            while not isinstance(item := next(self._events), ev.SequenceEndEvent):
                items.append(self._node(item, depth + 1))
            node = _Node(items, line, column, None, 0)
        else:
            node = self._scalar(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _mapping(self, depth: int) -> dict[str, _Entry]:
        entries: dict[str, _Entry] = {}
        while not isinstance(key := next(self._events), ev.MappingEndEvent):
            line, column = _at(key)
            if not isinstance(key, ev.ScalarEvent):
                self._stop(line, column, "a key must be text")
            child = self._node(next(self._events), depth + 1)
            name = key.value
            if name == "<<" and key.implicit[0]:
                self._refuse(key, "merge keys (`<<`) are not used here", "write the keys out, or use a plain alias")
            elif name in entries:
                self._refuse(key, f"`{name}` is set twice", f"first set on line {entries[name][1]}")
            else:
                entries[name] = (name, line, column, child)
        return entries

    def _alias(self, event: Any) -> _Node:
        line, column = _at(event)
        self._aliases += 1
        if self._aliases > ALIASES_MAX:
            self._stop(line, column, f"more than {ALIASES_MAX} aliases")
        if event.anchor not in self._anchors:
            self._stop(line, column, f"`*{event.anchor}` does not name an anchor that ended before it")
        return self._anchors[event.anchor]

    def _scalar(self, event: Any) -> _Node:
        start, end = event.start_mark, event.end_mark
        line, column = _at(event)
        quoted = event.style in ("'", '"')
        written = end.index - start.index - (2 if quoted else 0)
        whole = event.style in (None, "", "'", '"') and start.line == end.line and written == len(event.value)
        text_column = column + quoted if whole else 0
        value = self._plain(event) if event.implicit[0] else event.value
        return _Node(value, line, column, event.value, text_column)

    def _plain(self, event: Any) -> Any:
        text = event.value
        if _NULL.match(text):
            return None
        if match := _BOOL.match(text):
            return match[1] is None
        if _INT.match(text):
            return int(text)
        if _FLOAT.match(text):
            return float(text)
        if _WORD.match(text):
            meant = "true" if text.lower() in ("yes", "on") else "false"
            self._refuse(event, f"`{text}` is a boolean to some YAML readers and text to others",
                         f'write {meant}, or "{text}" for the text')  # fmt: skip
        elif _ODD_NUMBER.match(text):
            self._refuse(event, f"`{text}` is a number to some YAML readers and text to others",
                         f'write a plain decimal number, or "{text}" for the text')  # fmt: skip
        return text

    def _refuse(self, event: Any, message: str, hint: str) -> None:
        line, column = _at(event)
        self.problems.append(self._problem(line, column, message, hint))

    def _stop(self, line: int, column: int, message: str, hint: str = "") -> NoReturn:
        raise ConfigError([*self.problems, self._problem(line, column, message, hint)])

    def _problem(self, line: int, column: int, message: str, hint: str) -> Problem:
        source = self.lines[line - 1] if line <= len(self.lines) else ""
        return Problem(file=self.file, line=line, column=column, message=message, hint=hint, source=source)


def _at(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
