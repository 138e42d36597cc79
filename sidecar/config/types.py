"""What each setting may be, and the sentence when a value is not: its type, its range, its kind.

msgspec converts; the words are ours, so that each message says what would be right. Nothing here knows files,
variables or flags.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

from sidecar.config.settings import SECRETS, Section, Settings
from sidecar.config.values import KINDS

Place = tuple[str | int, ...]
"""Where in a document a value stands: the keys and list positions that lead to it."""


class Leaf(msgspec.Struct, frozen=True):
    """One setting: its dotted name, its annotation and its default."""

    name: str
    annotation: Any
    default: object

    @property
    def place(self) -> Place:
        return tuple(self.name.split("."))

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"SIDECAR_{self.name.replace('.', '_').upper()}"

    @property
    def secret(self) -> bool:
        return self.name in SECRETS


class Wrong(msgspec.Struct, frozen=True):
    """A value that cannot be taken, at `place` inside the setting. `said` follows the setting's name."""

    place: Place
    said: str


def _leaves() -> Iterator[Leaf]:
    defaults = Settings()
    for name, annotation in get_type_hints(Settings, include_extras=True).items():
        value = getattr(defaults, name)
        if isinstance(value, Section):
            for key, inner in get_type_hints(annotation, include_extras=True).items():
                yield Leaf(f"{name}.{key}", inner, getattr(value, key))
        else:
            yield Leaf(name, annotation, value)


LEAVES: Final[Mapping[str, Leaf]] = {leaf.name: leaf for leaf in _leaves()}
"""Every setting by its dotted name, in the order of `settings`."""


def take(value: object, annotation: Any, *, text: bool, place: Place = ()) -> tuple[Any, list[Wrong]]:
    """`value` as what `annotation` says, and everything that is wrong with it; with anything wrong, use neither.

    `text`: numbers and booleans arrive as text, as in the environment.
    """
    origin = get_origin(annotation)
    if origin is list:
        return _take_list(value, annotation, text=text, place=place)
    if origin is dict:
        return _take_mapping(value, annotation, text=text, place=place)
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return _take_struct(value, annotation, text=text, place=place)
    try:
        taken = msgspec.convert(value, annotation, strict=not text)
    except msgspec.ValidationError:
        said = next(_kind_says(str(value), annotation), f"must be {expected(annotation)}")
        return None, [Wrong(place, said)]
    return taken, [Wrong(place, said) for said in _kind_says(taken, annotation)]


def _take_list(value: object, annotation: Any, *, text: bool, place: Place) -> tuple[Any, list[Wrong]]:
    if not isinstance(value, list):
        return None, [Wrong(place, f"must be {expected(annotation)}")]
    (item,) = get_args(annotation)
    results = [take(each, item, text=text, place=(*place, i)) for i, each in enumerate(value)]
    return [taken for taken, _ in results], [wrong for _, all_wrong in results for wrong in all_wrong]


def _take_mapping(value: object, annotation: Any, *, text: bool, place: Place) -> tuple[Any, list[Wrong]]:
    if not isinstance(value, dict):
        return None, [Wrong(place, f"must be {expected(annotation)}")]
    of_key, of_value = get_args(annotation)
    result: dict[Any, Any] = {}
    wrongs: list[Wrong] = []
    for key, each in value.items():
        name, wrong_key = take(key, of_key, text=False, place=(*place, key))
        taken, wrong_value = take(each, of_value, text=text, place=(*place, key))
        wrongs += wrong_key + wrong_value
        result[name] = taken
    return result, wrongs


def _take_struct(value: object, annotation: Any, *, text: bool, place: Place) -> tuple[Any, list[Wrong]]:
    hints = get_type_hints(annotation, include_extras=True)
    if not isinstance(value, dict) or set(value) != set(hints):
        return None, [Wrong(place, f"must be {expected(annotation)}")]
    results = {key: take(value[key], hint, text=text, place=(*place, key)) for key, hint in hints.items()}
    wrongs = [wrong for _, all_wrong in results.values() for wrong in all_wrong]
    return (None if wrongs else annotation(**{key: taken for key, (taken, _) in results.items()})), wrongs


def _kind_says(value: object, annotation: Any) -> Iterator[str]:
    info = inspect.type_info(annotation)
    if isinstance(info, inspect.Metadata) and info.extra and isinstance(value, str):
        said = KINDS[info.extra["kind"]](value)
        if said is not None:
            yield said


def expected(annotation: Any) -> str:
    """What a value of `annotation` is, for people: ``a number above 0, at most 86400``."""
    info = inspect.type_info(annotation)
    if isinstance(info, inspect.Metadata):
        info = info.type
    match info:
        case inspect.ListType(item_type=inspect.Metadata(type=inspect.IntType() as number)):
            return f"a list, each {_range(number)}"
        case inspect.ListType():
            return "a list of text"
        case inspect.DictType(value_type=inspect.StructType()):
            return "a mapping from names to their `scale`, such as {tokens: {scale: 0}}"
        case inspect.DictType():
            return "header names with their values, such as `Authorization: Bearer KEY`"
        case inspect.StructType():
            return "a mapping with " + " and ".join(f"`{field.name}`" for field in info.fields) + ", nothing else"
        case inspect.IntType() | inspect.FloatType():
            return _range(info)
        case _:
            return _words(annotation)


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    what = "a whole number" if isinstance(info, inspect.IntType) else "a number"
    lowest = f"from {info.ge} to" if info.gt is None else f"above {info.gt} and at most"
    return f"{what} {lowest} {info.le}"


def _words(annotation: Any) -> str:
    if annotation is bool:
        return "true or false"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        words = [str(member.value) for member in annotation]
    elif get_origin(annotation) is Literal:
        words = list(get_args(annotation))
    else:
        return "text"
    return f"{', '.join(words[:-1])} or {words[-1]}"
