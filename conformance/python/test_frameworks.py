"""LangChain and LlamaIndex, unmodified but for base_url."""

import os
import pathlib
import subprocess
import sys
from typing import Literal

import langchain_anthropic
import langchain_openai
import pydantic
import pytest
from langchain_core.tools import tool
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

QUESTION = "Say hello in a few words."


@tool
def get_weather(city: Literal["Paris", "Rome"]) -> str:
    """The weather in a city."""
    return f"clear in {city}"


class Person(pydantic.BaseModel):
    """A person."""

    name: str = pydantic.Field(max_length=40)
    age: int = pydantic.Field(ge=0, le=150)


def langchain(gateway, kind, model, **options):
    if kind == "openai":
        return langchain_openai.ChatOpenAI(
            base_url=f"{gateway.url}/v1", api_key="none", model=model, max_retries=0, **options
        )
    return langchain_anthropic.ChatAnthropic(
        base_url=gateway.url, api_key="none", model=model, max_retries=0, **options
    )


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_langchain_plain_and_streaming(gateway, fake, model, kind):
    chat = langchain(gateway, kind, model, max_tokens=24)
    answer = chat.invoke(QUESTION)
    assert answer.text
    assert answer.usage_metadata["output_tokens"] > 0
    assert "".join(chunk.text for chunk in chat.stream(QUESTION))


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_langchain_tools(gateway, fake, tool_model, kind):
    fake.script(tool_calls=[{"arguments": {"city": "Paris"}}])
    chat = langchain(gateway, kind, tool_model, max_tokens=256)
    answer = chat.bind_tools([get_weather], tool_choice="any").invoke("Weather in Paris?")
    assert answer.tool_calls[0]["name"] == "get_weather"
    assert isinstance(answer.tool_calls[0]["args"]["city"], str)


def test_langchain_structured_output_by_schema(gateway, fake, real_model):
    chat = langchain(gateway, "openai", real_model, max_tokens=200, temperature=0)
    structured = chat.with_structured_output(Person, method="json_schema")
    assert isinstance(structured.invoke("Invent a person, in JSON."), Person)


def test_langchain_structured_output_by_tool(gateway, fake):
    model = "local/smollm2-135m-instruct"
    chat = langchain(gateway, "anthropic", model, max_tokens=200, temperature=0)
    structured = chat.with_structured_output(Person, method="function_calling")
    assert isinstance(structured.invoke("Invent a person, in JSON."), Person)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_langchain_errors(gateway, fake, kind):
    with pytest.raises(Exception, match="no-such-model"):
        langchain(gateway, kind, "no-such-model", max_tokens=5).invoke(QUESTION)


def test_llama_index_openai(gateway, fake, model):
    llm = OpenAILike(
        model=model,
        api_base=f"{gateway.url}/v1",
        api_key="none",
        is_chat_model=True,
        max_tokens=24,
        max_retries=0,
        context_window=4096,
    )
    asked = [ChatMessage(role="user", content=QUESTION)]
    assert llm.chat(asked).message.content
    assert "".join(part.delta or "" for part in llm.stream_chat(asked))


def test_llama_index_anthropic(gateway, fake):
    # It needs an older Anthropic client than the others: `run` puts that one in a folder of its own.
    here = pathlib.Path(__file__).parent
    path = {"PYTHONPATH": str(here.parent / ".venv" / "older")}
    result = subprocess.run(
        [sys.executable, str(here / "llama_index_anthropic.py"), gateway.url],
        env={**os.environ, **path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
