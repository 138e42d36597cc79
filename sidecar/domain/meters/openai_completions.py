"""OpenAI completions, the API before chat: usage as in chat, asked for in the same way, another limit of output.

A chunk of its streams has choices and usage where one of chat has them, so that the same is hidden.
"""

import msgspec

from sidecar.domain.meters import openai_chat
from sidecar.domain.meters.openai_endings import CompletionEnding
from sidecar.domain.meters.text import TEXT, PlainText

READER = msgspec.structs.replace(
    openai_chat.READER,
    hold={
        "input_tokens": "request.body_bytes / 3",
        "output_tokens": "(request.max_tokens or 16) * (request.best_of or request.n or 1)",
    },
    plain_text=PlainText(rb'"text":"%b"' % TEXT, b'"text":'),
    ending=CompletionEnding,
)
