"""The readers that a rule can name in ``usage:``."""

from collections.abc import Mapping

from sidecar.domain.meters import anthropic, openai, openai_chat
from sidecar.domain.meters.reader import Reader

READERS: Mapping[str, Reader] = {
    "openai.chat": openai_chat.READER,
    "openai.responses": openai.RESPONSES,
    "openai.embeddings": openai.EMBEDDINGS,
    "anthropic.messages": anthropic.READER,
}
