"""Settings from their four sources: defaults ← file ← environment ← flags, the later winning.

Every problem of every source is found before anything is said, and each setting remembers where its value came from.
A key without a value, like an empty variable, sets nothing. Lists and single values replace one another;
`upstream.headers` and `units` are mappings and are merged by name.
Relative paths in a file start at that file's folder, all others at the working directory.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from sidecar.config import checks, environment
from sidecar.config.problems import ConfigError, Problem, suggestion
from sidecar.config.settings import Settings
from sidecar.config.source import Document, read
from sidecar.config.types import LEAVES, Leaf, Place, take

DEFAULT: Final = "default"
_SECTIONS: Final = {name.partition(".")[0] for name in LEAVES if "." in name}
_PATHS: Final = {
    "rules.paths",
    "data.dir",
    "upstream.tls_ca_file",
    "injector.tls_cert_file",
    "injector.tls_key_file",
}
_TOP: Final = tuple(dict.fromkeys(name.partition(".")[0] for name in LEAVES))


class Flag(msgspec.Struct, frozen=True):
    """A flag as it was given: its `option`, such as ``--listen``, and its text, or all of them if it may repeat."""

    option: str
    value: str | list[str]


class Loaded(msgspec.Struct, frozen=True):
    """The settings, and for each dotted name where its value came from: ``sidecar.yaml:3``, a variable, a flag."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, Flag] | None = None,
) -> Loaded:
    """All sources merged and checked. `environ` is the process's own if absent; `flags` go by dotted setting name.

    ConfigError with every problem of every source.
    """
    environ = os.environ if environ is None else environ
    if file is None and environ.get(environment.CONFIG_FILE):
        file = Path(environ[environment.CONFIG_FILE])
    merge = _Merge(environ)
    if file is not None:
        merge.add_file(file)
    merge.add_environment()
    merge.add_flags(flags or {})
    return merge.result()


class _Given(msgspec.Struct, frozen=True):
    """One value from one source. `document` is set for a file; `text`: scalars in `value` are text."""

    leaf: Leaf
    value: object
    origin: str
    text: bool = False
    document: Document | None = None

    def problem(self, said: str, place: Place = (), hint: str = "", *, got: object = None) -> Problem:
        shown = "" if got is None or self.leaf.secret else f"; got `{got}`"
        name = self.leaf.name + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
        message = f"{name} {said}{shown}"
        if self.document is not None:
            return self.document.problem((*self.leaf.place, *place), message, hint, secret=self.leaf.secret)
        return Problem(file=self.origin, message=message, hint=hint)


class _Merge:
    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[Problem] = []
        self._values: dict[str, Any] = {name: leaf.default for name, leaf in LEAVES.items()}
        self._given: dict[str, _Given] = {}
        self._origins: dict[str, list[str]] = {}

    def add_file(self, file: Path) -> None:
        try:
            document = read(file)
        except ConfigError as error:
            # The line where a file stops being YAML may be the one with a secret: its text is not shown.
            self._problems += [msgspec.structs.replace(problem, source="") for problem in error.problems]
        else:
            for given in self._file_values(document):
                self._add(given)

    def add_environment(self) -> None:
        for leaf, text in environment.variables(self._environ):
            self._add(_Given(leaf, environment.plain(leaf, text), leaf.variable, text=True))
        for variable, near in environment.unknown(self._environ):
            hint = f"did you mean `{near}`?" if near else "`sidecar config reference` lists every setting"
            self._problems.append(Problem(file=variable, message="sets nothing: no setting has this name", hint=hint))

    def add_flags(self, flags: Mapping[str, Flag]) -> None:
        for name, flag in flags.items():
            value: object = flag.value
            if name == "upstream.headers" and isinstance(flag.value, list):
                value = environment.header_lines(flag.value)
            self._add(_Given(LEAVES[name], value, flag.option, text=True))

    def result(self) -> Loaded:
        """The settings, or ConfigError. What depends on several settings is checked when each is right by itself."""
        if not self._problems:
            settings = _settings(self._values)
            for conflict in checks.conflicts(settings, self._given.keys()):
                self._problems.append(self._given[conflict.name].problem(conflict.said))
        if self._problems:
            raise ConfigError(self._problems)
        origins = {name: ", ".join(self._origins.get(name, [DEFAULT])) for name in LEAVES}
        return Loaded(settings, origins)

    def _file_values(self, document: Document) -> Iterator[_Given]:
        if document.data is None:
            return
        if not isinstance(document.data, dict):
            self._problems.append(document.problem((), "must be a mapping of sections", f"such as {', '.join(_TOP)}"))
            return
        for key, value in document.data.items():
            if value is None and key in _TOP:
                continue
            if key in LEAVES:
                yield self._of_file(LEAVES[key], value, document)
            elif key not in _SECTIONS:
                self._unknown(document, (key,), _TOP)
            elif isinstance(value, dict):
                yield from self._section_values(key, value, document)
            else:
                self._problems.append(document.problem((key,), f"`{key}` must be a mapping of settings", secret=True))

    def _section_values(self, section: str, values: dict[str, object], document: Document) -> Iterator[_Given]:
        known = [name.partition(".")[2] for name in LEAVES if name.startswith(f"{section}.")]
        for key, value in values.items():
            if key in known and value is not None:
                yield self._of_file(LEAVES[f"{section}.{key}"], value, document)
            elif key not in known:
                self._unknown(document, (section, key), known)

    def _of_file(self, leaf: Leaf, value: object, document: Document) -> _Given:
        line = document.places[leaf.place].key_line
        return _Given(leaf, value, f"{document.file}:{line}", document=document)

    def _unknown(self, document: Document, place: Place, known: Iterable[str]) -> None:
        # The line of a misspelt key may hold the secret that was meant for the right one.
        key = str(place[-1])
        where = f" in `{place[0]}`" if len(place) > 1 else ""
        hint = suggestion(key, known)
        self._problems.append(document.problem(place, f"unknown key `{key}`{where}", hint, at_key=True, secret=True))

    def _add(self, given: _Given) -> None:
        leaf = given.leaf
        value, wrongs = take(given.value, leaf.annotation, text=given.text)
        for wrong in wrongs:
            got = _at(given.value, wrong.place)
            self._problems.append(given.problem(wrong.said, wrong.place, got=got if _is_scalar(got) else None))
        if wrongs:
            return
        value = self._finished(value, given)
        self._given[leaf.name] = given
        if isinstance(value, dict):
            self._values[leaf.name] = _merged(self._values[leaf.name], value)
            self._origins.setdefault(leaf.name, []).append(given.origin)
        else:
            self._values[leaf.name] = value
            self._origins[leaf.name] = [given.origin]

    def _finished(self, value: Any, given: _Given) -> Any:
        """Paths made absolute where they come from a file, ``${NAME}`` in headers replaced."""
        name = given.leaf.name
        if name in _PATHS:
            base = Path(given.document.file).parent if given.document else Path()
            return [_path(base, each) for each in value] if isinstance(value, list) else _path(base, value)
        if name == "upstream.headers":
            return {header: self._expanded(text, header, given) for header, text in value.items()}
        return value

    def _expanded(self, text: str, header: str, given: _Given) -> str:
        expanded, missing = environment.expand(text, self._environ)
        for variable in missing:
            hint = f"export {variable}=… before starting"
            self._problems.append(
                given.problem(f"names ${{{variable}}}, which is not set in the environment", (header,), hint)
            )
        return expanded


def _settings(values: Mapping[str, Any]) -> Settings:
    sections: dict[str, dict[str, Any]] = {}
    top: dict[str, Any] = {}
    for name, value in values.items():
        section, dot, key = name.partition(".")
        if dot:
            sections.setdefault(section, {})[key] = value
        else:
            top[name] = value
    defaults = Settings()
    built = {section: type(getattr(defaults, section))(**keys) for section, keys in sections.items()}
    return Settings(**built, **top)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`new` over `old`, by name; header names are equal whatever their case."""
    replaced = {name.lower() for name in new}
    return {name: value for name, value in old.items() if name.lower() not in replaced} | dict(new)


def _path(base: Path, text: str) -> str:
    return str(base / Path(text).expanduser()) if text else ""


def _at(value: Any, place: Place) -> object:
    for step in place:
        value = value[step]
    return value


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)
