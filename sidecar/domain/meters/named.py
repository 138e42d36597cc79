"""The readers that a rule can name in ``usage:``."""

from collections.abc import Mapping

from sidecar.domain.meters import (
    anthropic,
    bedrock,
    cohere,
    gemini,
    mistral,
    ollama,
    openai,
    openai_audio,
    openai_chat,
    openai_completions,
    openai_images,
    openai_realtime,
)
from sidecar.domain.meters.reader import Reader

READERS: Mapping[str, Reader] = {
    "openai.chat": openai_chat.READER,
    "openai.responses": openai.RESPONSES,
    "openai.completions": openai_completions.READER,
    "openai.embeddings": openai.EMBEDDINGS,
    "openai.images": openai_images.READER,
    "openai.audio": openai_audio.READER,
    "openai.realtime": openai_realtime.READER,
    "anthropic.messages": anthropic.READER,
    "google.gemini": gemini.READER,
    "mistral.chat": mistral.READER,
    "cohere.chat": cohere.READER,
    "bedrock": bedrock.READER,
    "ollama": ollama.READER,
}
