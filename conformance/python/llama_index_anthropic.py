"""LlamaIndex's Anthropic client, plain and streaming. Argument: the gateway's base URL."""

import sys

from llama_index.core.llms import ChatMessage
from llama_index.llms.anthropic import Anthropic

# This client accepts only Anthropic's own model names: a route of such a name leads to the fake.
llm = Anthropic(
    model="claude-3-haiku-20240307", base_url=sys.argv[1], api_key="none", max_tokens=24
)
asked = [ChatMessage(role="user", content="Say hello in a few words.")]
assert llm.chat(asked).message.content
assert "".join(part.delta or "" for part in llm.stream_chat(asked))
