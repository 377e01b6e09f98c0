"""anthropic-python, unmodified but for base_url."""

import json

import anthropic
import pytest

QUESTION = [{"role": "user", "content": "Say hello in a few words."}]
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"],
    },
}


def test_plain(gateway, fake, model):
    raw = gateway.anthropic().messages.with_raw_response.create(
        model=model, max_tokens=24, messages=QUESTION, system="You are brief."
    )
    answer = raw.parse()
    assert answer.type == "message"
    assert answer.role == "assistant"
    assert answer.content[0].type == "text"
    assert answer.content[0].text
    assert answer.stop_reason in ("end_turn", "max_tokens")
    assert answer.usage.input_tokens > 0
    assert answer.usage.output_tokens > 0
    assert raw.headers["x-freehold-deployment"] == model


def test_streaming(gateway, fake, model):
    with gateway.anthropic().messages.stream(
        model=model, max_tokens=24, messages=QUESTION
    ) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text
    assert final.content[0].text == text
    assert final.usage.output_tokens > 0


def test_tool_call_and_its_result(gateway, fake, tool_model):
    client = gateway.anthropic()
    fake.script(tool_calls=[{"arguments": {"city": "Paris"}}])
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = client.messages.create(
        model=tool_model,
        max_tokens=256,
        messages=asked,
        tools=[WEATHER],
        tool_choice={"type": "tool", "name": "get_weather"},
    )
    call = next(block for block in answer.content if block.type == "tool_use")
    assert call.name == "get_weather"
    assert isinstance(call.input["city"], str)
    assert answer.stop_reason == "tool_use"
    fake.reset()
    said = [
        *asked,
        {"role": "assistant", "content": [block.model_dump() for block in answer.content]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "clear sky"}],
        },
    ]
    followed = client.messages.create(
        model=tool_model,
        max_tokens=24,
        messages=said,
        tools=[WEATHER],
        tool_choice={"type": "none"},
    )
    assert followed.content[0].text


def test_streamed_tool_call(gateway, fake, tool_model):
    fake.script(tool_calls=[{"arguments": {"city": "Paris"}}])
    with gateway.anthropic().messages.stream(
        model=tool_model,
        max_tokens=256,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
    ) as stream:
        final = stream.get_final_message()
    call = next(block for block in final.content if block.type == "tool_use")
    assert isinstance(call.input["city"], str)


def test_thinking_survives(gateway, fake):
    fake.script(thinking="Let me see.", tokens=4)
    answer = gateway.anthropic().messages.create(
        model="fake-anthropic/fake-model", max_tokens=2000, messages=QUESTION,
        thinking={"type": "enabled", "budget_tokens": 1024},
    )
    assert answer.content[0].type == "thinking"
    assert answer.content[0].thinking
    assert answer.content[0].signature


def test_count_tokens(gateway, fake, model):
    counted = gateway.anthropic().messages.count_tokens(model=model, messages=QUESTION)
    assert 0 < counted.input_tokens < 200


def test_models_are_listed(gateway, fake):
    names = [model.id for model in gateway.anthropic().models.list()]
    assert "auto" in names


def test_unknown_model(gateway, fake):
    with pytest.raises(anthropic.NotFoundError) as caught:
        gateway.anthropic().messages.create(model="no-such", max_tokens=5, messages=QUESTION)
    assert caught.value.body["error"]["type"] == "not_found_error"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
    ],
)
def test_bad_requests_name_the_field(gateway, fake, change, field):
    body = {"model": "local/smollm2-135m-instruct", "max_tokens": 5, "messages": QUESTION, **change}
    with pytest.raises(anthropic.BadRequestError) as caught:
        gateway.anthropic().post("/v1/messages", body=body, cast_to=object)
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    assert field in caught.value.body["error"]["message"]


def test_what_anthropic_cannot_express_is_refused(gateway, fake):
    import openai

    with pytest.raises(openai.BadRequestError) as caught:
        gateway.openai().chat.completions.create(
            model="fake-anthropic/fake-model", messages=QUESTION, logprobs=True
        )
    assert caught.value.body["param"] == "logprobs"
    assert fake.log() == []


def test_overload_reaches_the_client(gateway, fake, faulty_model):
    for _ in range(2):
        fake.script(fault={"kind": "status", "status": 429, "retry_after": {"seconds": 7}})
    with pytest.raises(anthropic.RateLimitError) as caught:
        gateway.anthropic().messages.create(model=faulty_model, max_tokens=5, messages=QUESTION)
    assert caught.value.body["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("fault", ["reset", "end", "malformed_json", "error_event"])
def test_a_broken_stream_ends_with_one_error(gateway, fake, faulty_model, fault):
    fake.script(tokens=30, fault={"kind": fault, "at": 5})
    received = []
    with pytest.raises(anthropic.APIError):
        with gateway.anthropic().messages.stream(
            model=faulty_model, max_tokens=100, messages=QUESTION
        ) as stream:
            for event in stream:
                received.append(event)
    assert received


def test_same_dialect_passes_unknown_fields_through(gateway, fake):
    gateway.anthropic().messages.create(
        model="fake-anthropic/fake-model",
        max_tokens=5,
        messages=QUESTION,
        extra_body={"a_field_of_tomorrow": {"x": [1, 2]}},
    )
    import base64

    sent = json.loads(base64.b64decode(fake.log()[-1]["body_base64"]))
    assert sent["a_field_of_tomorrow"] == {"x": [1, 2]}
    assert sent["model"] == "fake-model"
