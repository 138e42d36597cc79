"""Hold terms: what a request may use at most, as an expression over its fields.

The language is a small part of Python's, parsed with `ast` so that a mistake has a column, and compiled to closures:
whole numbers, ``request.body_bytes``, ``request.<field>[.<field>…]``, ``or``, ``+ - * /`` and parentheses. It cannot
fail on a request: a field that is absent, or not a whole number from 0, counts as missing; ``a or b`` is `b` when
`a` is missing or 0, and an expression that could end up missing is refused when rules load. Results are rounded up,
never negative, and capped, so that nobody gets out of a hold by an absurd number.
"""

import ast
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import msgspec

from sidecar.domain.amounts import MAX_AMOUNT
from sidecar.domain.errors import InvalidInput
from sidecar.domain.price import Number

BODY_BYTES = "body_bytes"
TEXT_MAX = 1000

_Values = Mapping[str, int | None]
_Compiled = Callable[[_Values], Number | None]


class ExpressionError(InvalidInput):
    """A term that cannot be used; `offset` is the character of its text where the trouble starts."""

    def __init__(self, detail: str, offset: int) -> None:
        super().__init__(detail)
        self.offset = offset


class Term(msgspec.Struct, frozen=True):
    """A compiled expression. `fields` are the dotted names it reads; `sized`: it reads the body's size as well."""

    text: str
    fields: frozenset[str]
    sized: bool
    _value: _Compiled
    _divisor: int
    """A division that comes last is done with the rounding, in whole numbers."""

    @classmethod
    def parse(cls, text: str) -> "Term":
        """ExpressionError with the place of the mistake and what would be right."""
        if len(text) > TEXT_MAX:
            raise ExpressionError(f"an expression has at most {TEXT_MAX} characters", 0)
        stripped = text.strip()
        start = text.index(stripped)
        try:
            node = ast.parse(stripped, mode="eval").body
        except SyntaxError as error:
            offset = start + max((error.offset or 1) - 1, 0)
            raise ExpressionError("not an expression: it has " + _GRAMMAR, min(offset, len(text))) from error
        except (ValueError, RecursionError, MemoryError) as error:
            raise ExpressionError("not an expression: it has " + _GRAMMAR, 0) from error
        compiler = _Compiler(stripped, start)
        divisor = 1
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            divisor = compiler.divisor(node)
            node = node.left
        value, certain = compiler.compile(node)
        if not certain:
            raise ExpressionError(
                "a request may lack it: end with a number, as in `request.max_tokens or 1024`", start
            )
        return cls(text, frozenset(compiler.fields), compiler.sized, value, divisor)

    def value(self, values: _Values) -> int:
        """The term for one request: `values` by dotted name, None or absent for missing; 0 to 2^53 - 1."""
        result = self._value(values)
        assert result is not None
        return min(max(-(-result // self._divisor), 0), MAX_AMOUNT)


def whole(value: Any) -> int | None:
    """A request's field as a term sees it: a whole number from 0, capped at 2^53 - 1, or missing."""
    if type(value) is int and value >= 0:
        return min(value, MAX_AMOUNT)
    # A number beyond 64 bits arrives as a float: it is absurd, not missing.
    return MAX_AMOUNT if type(value) is float and value > MAX_AMOUNT else None


_GRAMMAR = "numbers, request.<field>, request.body_bytes, `or`, + - * / and parentheses"


class _Compiler:
    """One walk over the tree; `compile` answers with the closure and whether it always has a value."""

    def __init__(self, text: str, start: int) -> None:
        self.fields: set[str] = set()
        self.sized = False
        self._text = text
        self._start = start

    def compile(self, node: ast.expr) -> tuple[_Compiled, bool]:
        match node:
            case ast.Constant(value=int() as number) if type(number) is int and number <= MAX_AMOUNT:
                return lambda _: number, True
            case ast.Attribute():
                return self._field(node)
            case ast.BoolOp(op=ast.Or(), values=nodes):
                return self._or(nodes)
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() as op, right=right):
                return self._arithmetic(op, left, right)
            case ast.BinOp(op=ast.Div()) as division:
                return self._divide(division)
        raise self._error("an expression has only " + _GRAMMAR, node)

    def divisor(self, division: ast.BinOp) -> int:
        node = division.right
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value > 0:
            return node.value
        raise self._error("only a number above 0 can be divided by", node)

    def _field(self, node: ast.Attribute) -> tuple[_Compiled, bool]:
        names = [node.attr]
        base = node.value
        while isinstance(base, ast.Attribute):
            names.append(base.attr)
            base = base.value
        if not (isinstance(base, ast.Name) and base.id == "request"):
            raise self._error("a field is written request.<field>, such as request.max_tokens", base)
        name = ".".join(reversed(names))
        if name == BODY_BYTES:
            self.sized = True
            return lambda values: values[BODY_BYTES], True
        self.fields.add(name)
        return lambda values: values.get(name), False

    def _or(self, nodes: list[ast.expr]) -> tuple[_Compiled, bool]:
        alternatives, certain = zip(*map(self.compile, nodes), strict=True)

        def first(values: _Values) -> Number | None:
            last = None
            for alternative in alternatives:
                result: Number | None = alternative(values)
                if result:
                    return result
                last = last if result is None else result
            return last

        return first, any(certain)

    def _arithmetic(self, op: ast.operator, left: ast.expr, right: ast.expr) -> tuple[_Compiled, bool]:
        (a, a_certain), (b, b_certain) = self.compile(left), self.compile(right)

        def calculate(values: _Values) -> Number | None:
            x, y = a(values), b(values)
            if x is None or y is None:
                return None
            if isinstance(op, ast.Mult):
                return x * y
            return x + y if isinstance(op, ast.Add) else x - y

        return calculate, a_certain and b_certain

    def _divide(self, node: ast.BinOp) -> tuple[_Compiled, bool]:
        value, certain = self.compile(node.left)
        divisor = self.divisor(node)

        def divide(values: _Values) -> Number | None:
            dividend = value(values)
            return None if dividend is None else Fraction(dividend, divisor)

        return divide, certain

    def _error(self, detail: str, node: ast.expr) -> ExpressionError:
        # `ast` counts columns in bytes of UTF-8.
        before = self._text.encode()[: node.col_offset].decode(errors="ignore") if node.lineno == 1 else ""
        return ExpressionError(detail, self._start + len(before))
