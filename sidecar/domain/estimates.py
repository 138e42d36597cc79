"""Tokens that nobody reported, estimated from the text that passed.

Without the vocabulary of a model a count is a guess, and is labelled as one: so many bytes for each token, or what a
tokenizer counts. A tokenizer sees the beginning of a text only, and what it makes of that stands for the rest: so no
text, however long, holds anything up.
"""

from collections.abc import Callable
from fractions import Fraction

import msgspec

BYTES_PER_TOKEN = Fraction(34, 10)
"""Measured on mixed English text and code with o200k_base; with cl100k_base it is 3.2."""

SAMPLE_MAX_BYTES = 16_384
"""How much of one text a tokenizer sees: two milliseconds of its time, ten for text made to be slow."""


class Estimate(msgspec.Struct, frozen=True):
    """How a rule estimates: by `tokenizer`, which counts the tokens of a UTF-8 text, or by `bytes_per_token`."""

    bytes_per_token: Fraction = BYTES_PER_TOKEN
    tokenizer: Callable[[bytes], int] | None = None

    def tokens_at_most(self, size: int) -> int:
        """The most tokens that `size` bytes of text can be."""
        if self.tokenizer is not None:
            return size
        return -(-size * self.bytes_per_token.denominator // self.bytes_per_token.numerator)


class Tally:
    """The tokens of one text that comes in pieces."""

    __slots__ = ("_estimate", "_sampled", "_tokens", "size")

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._sampled = 0
        self._tokens = 0
        self.size = 0
        """Bytes of text; those of it that are not shown may be added here."""

    def add(self, text: bytes) -> None:
        """The next piece of the text."""
        self.size += len(text)
        tokenizer, room = self._estimate.tokenizer, SAMPLE_MAX_BYTES - self._sampled
        if tokenizer is not None and room > 0 and text:
            sample = text[:room]
            self._sampled += len(sample)
            self._tokens += tokenizer(sample)

    @property
    def tokens(self) -> int:
        """All of it in tokens, rounded up."""
        if self._sampled:
            return -(-self.size * self._tokens // self._sampled)
        ratio = self._estimate.bytes_per_token
        return -(-self.size * ratio.denominator // ratio.numerator)
