"""openai-python, unmodified but for base_url."""

import json

import openai
import pydantic
import pytest

QUESTION = [{"role": "user", "content": "Say hello in a few words."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Person(pydantic.BaseModel):
    name: str = pydantic.Field(max_length=40)
    age: int = pydantic.Field(ge=0, le=150)


def test_plain(gateway, fake, model):
    raw = gateway.openai().chat.completions.with_raw_response.create(
        model=model, messages=QUESTION, max_tokens=24
    )
    answer = raw.parse()
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.prompt_tokens > 0
    assert answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert raw.headers["x-freehold-deployment"] == model
    assert raw.headers["x-freehold-attempts"] == "1"
    assert float(raw.headers["x-freehold-overhead-ms"]) >= 0
    assert float(raw.headers["x-freehold-cost"]) >= 0


def test_streaming(gateway, fake, model):
    stream = gateway.openai().chat.completions.create(
        model=model,
        messages=QUESTION,
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    usages = [c.usage for c in chunks if c.usage]
    assert text
    assert len(finishes) == 1
    assert len(usages) == 1
    assert usages[0].completion_tokens > 0


def test_streaming_without_usage_shows_none(gateway, fake, model):
    stream = gateway.openai().chat.completions.create(
        model=model, messages=QUESTION, max_tokens=8, stream=True
    )
    assert all(chunk.usage is None and chunk.choices for chunk in stream)


def test_tool_call_and_its_result(gateway, fake, tool_model):
    client = gateway.openai()
    fake.script(tool_calls=[{"arguments": {"city": "Paris"}}])
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = client.chat.completions.create(
        model=tool_model,
        messages=asked,
        tools=[WEATHER],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        max_tokens=256,
    )
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    fake.reset()
    said = [
        *asked,
        answer.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": '{"sky": "clear"}'},
    ]
    followed = client.chat.completions.create(
        model=tool_model, messages=said, tools=[WEATHER], tool_choice="none", max_tokens=24
    )
    assert followed.choices[0].message.content
    assert not followed.choices[0].message.tool_calls


def test_streamed_tool_call(gateway, fake, tool_model):
    fake.script(tool_calls=[{"arguments": {"city": "Paris"}}])
    stream = gateway.openai().chat.completions.create(
        model=tool_model,
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        tool_choice="required",
        # A small model that may call several times can go on to the limit.
        parallel_tool_calls=False,
        max_tokens=256,
        stream=True,
    )
    name, arguments, finish = "", "", None
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or []:
            if call.index > 0:
                continue
            name += call.function.name or ""
            arguments += call.function.arguments or ""
        finish = chunk.choices[0].finish_reason or finish
    assert name == "get_weather"
    assert isinstance(json.loads(arguments)["city"], str)
    assert finish == "tool_calls"


def test_tools_reach_a_server_that_leaves_them_out(gateway, fake):
    answer = gateway.openai().chat.completions.create(
        model="llamacpp/smollm2-135m-instruct",
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[WEATHER],
        max_tokens=24,
    )
    assert answer.choices[0].message.content or answer.choices[0].message.tool_calls


def test_parallel_tool_calls(gateway, fake, fake_model):
    fake.script(tool_calls=[{"arguments": {"city": "Paris"}}, {"arguments": {"city": "Rome"}}])
    answer = gateway.openai().chat.completions.create(
        model=fake_model,
        messages=[{"role": "user", "content": "Paris and Rome?"}],
        tools=[WEATHER],
        parallel_tool_calls=True,
    )
    cities = [json.loads(c.function.arguments)["city"] for c in answer.choices[0].message.tool_calls]
    assert cities == ["Paris", "Rome"]
    assert len({call.id for call in answer.choices[0].message.tool_calls}) == 2


def test_structured_output(gateway, fake, real_model):
    answer = gateway.openai().chat.completions.parse(
        model=real_model,
        messages=[{"role": "user", "content": "Invent a person. Answer in JSON."}],
        response_format=Person,
        max_tokens=200,
        temperature=0,
    )
    assert isinstance(answer.choices[0].message.parsed, Person)


def test_structured_output_openai_upstream(gateway, fake):
    answer = gateway.openai().chat.completions.parse(
        model="fake/fake-model",
        messages=[{"role": "user", "content": "Invent a person."}],
        response_format=Person,
    )
    assert isinstance(answer.choices[0].message.parsed, Person)


def test_json_mode(gateway, fake, real_model):
    answer = gateway.openai().chat.completions.create(
        model=real_model,
        messages=[{"role": "user", "content": "Answer with a small JSON object."}],
        response_format={"type": "json_object"},
        max_tokens=300,
        temperature=0,
    )
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)


def test_stop_seed_and_logprobs(gateway, fake):
    client = gateway.openai()

    def ask():
        return client.chat.completions.create(
            model="local/smollm2-135m-instruct",
            messages=QUESTION,
            max_tokens=16,
            seed=7,
            temperature=0.8,
            logprobs=True,
            top_logprobs=2,
            extra_body={"deterministic": True},
        )

    first, second = ask(), ask()
    assert first.choices[0].message.content == second.choices[0].message.content
    tokens = first.choices[0].logprobs.content
    assert tokens and all(token.logprob <= 0 and len(token.top_logprobs) == 2 for token in tokens)


def test_several_choices(gateway, fake):
    answer = gateway.openai().chat.completions.create(
        model="local/smollm2-135m-instruct", messages=QUESTION, max_tokens=8, n=2
    )
    assert [choice.index for choice in answer.choices] == [0, 1]


def test_legacy_completions(gateway, fake, real_model):
    answer = gateway.openai().completions.create(
        model=real_model, prompt="One, two, three,", max_tokens=8
    )
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    streamed = gateway.openai().completions.create(
        model=real_model, prompt="One, two, three,", max_tokens=8, stream=True
    )
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices)


def test_models_are_listed(gateway, fake):
    names = {model.id for model in gateway.openai().models.list()}
    assert {"auto", "local/smollm2-135m-instruct", "fake/fake-model"} <= names
    assert gateway.openai().models.retrieve("auto").id == "auto"


def test_unknown_model(gateway, fake):
    with pytest.raises(openai.NotFoundError) as caught:
        gateway.openai().chat.completions.create(model="no-such-model", messages=QUESTION)
    assert caught.value.body["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages[0].role"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ],
)
def test_bad_requests_name_the_field(gateway, fake, change, field):
    body = {"model": "local/smollm2-135m-instruct", "messages": QUESTION, **change}
    with pytest.raises(openai.BadRequestError) as caught:
        gateway.openai().post("/chat/completions", body=body, cast_to=object)
    assert caught.value.body["param"] == field
    assert caught.value.body["type"] == "invalid_request_error"


def test_context_overflow_names_the_limit(gateway, fake):
    long = [{"role": "user", "content": "word " * 9000}]
    with pytest.raises(openai.BadRequestError) as caught:
        gateway.openai().chat.completions.create(
            model="local/smollm2-135m-instruct", messages=long, max_tokens=8
        )
    assert caught.value.body["code"] == "context_length_exceeded"
    assert "4096" in caught.value.body["message"]


def test_an_image_is_refused_by_a_text_model(gateway, fake):
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]
    with pytest.raises(openai.BadRequestError) as caught:
        gateway.openai().chat.completions.create(
            model="local/smollm2-135m-instruct", messages=[{"role": "user", "content": content}]
        )
    assert "image" in caught.value.body["message"]


def test_rate_limit_reaches_the_client(gateway, fake, faulty_model):
    for _ in range(2):
        fake.script(fault={"kind": "status", "status": 429, "retry_after": {"seconds": 7}})
    with pytest.raises(openai.RateLimitError) as caught:
        gateway.openai().chat.completions.create(model=faulty_model, messages=QUESTION)
    assert caught.value.response.headers["retry-after"] == "7"


def test_server_error_is_retried(gateway, fake, faulty_model):
    fake.script(fault={"kind": "status", "status": 500})
    raw = gateway.openai().chat.completions.with_raw_response.create(
        model=faulty_model, messages=QUESTION
    )
    assert raw.parse().choices[0].message.content
    assert raw.headers["x-freehold-attempts"] == "2"


@pytest.mark.parametrize("fault", ["reset", "end", "malformed_json", "error_event"])
def test_a_broken_stream_ends_with_one_error(gateway, fake, faulty_model, fault):
    fake.script(tokens=30, fault={"kind": fault, "at": 5})
    received = []
    with pytest.raises(openai.APIError):
        for chunk in gateway.openai().chat.completions.create(
            model=faulty_model, messages=QUESTION, stream=True
        ):
            received.append(chunk)
    assert received


def test_leaving_at_chunk_five_bills_what_was_sent(gateway, fake, faulty_model):
    fake.script(tokens=200, pace={"inter_token_ms": 20})
    raw = gateway.openai().chat.completions.with_raw_response.create(
        model=faulty_model, messages=QUESTION, stream=True
    )
    stream = raw.parse()
    for count, _ in enumerate(stream, start=1):
        if count == 5:
            stream.response.close()
            break
    outcome = gateway.outcome(raw.headers["x-request-id"])
    assert outcome["status"] == "cancelled"
    assert outcome["usage"]["basis"] == "estimated"
    assert 3 <= outcome["usage"]["output_tokens"] < 60
    assert outcome["usage"]["input_tokens"] > 0


def test_leaving_the_embedded_model_bills_what_was_generated(gateway, fake):
    raw = gateway.openai().chat.completions.with_raw_response.create(
        model="local/smollm2-135m-instruct",
        messages=[{"role": "user", "content": "Count from one to six hundred."}],
        # Left to itself, a small model often stops after a dozen tokens.
        response_format={
            "type": "json_schema",
            "json_schema": {
                "name": "count",
                "schema": {
                    "type": "object",
                    "properties": {
                        "numbers": {"type": "array", "items": {"type": "integer"}, "minItems": 600}
                    },
                    "required": ["numbers"],
                },
            },
        },
        max_tokens=1500,
        stream=True,
    )
    stream = raw.parse()
    for count, _ in enumerate(stream, start=1):
        if count == 5:
            stream.response.close()
            break
    outcome = gateway.outcome(raw.headers["x-request-id"])
    assert outcome["status"] == "cancelled"
    assert outcome["usage"]["basis"] == "counted"
    assert 3 <= outcome["usage"]["output_tokens"] < 1000


def test_the_ledger_has_what_the_upstream_counted(gateway, fake, fake_model):
    fake.script(tokens=17, usage={"prompt_tokens": 40, "cached_tokens": 8})
    raw = gateway.openai().chat.completions.with_raw_response.create(
        model=fake_model, messages=QUESTION
    )
    outcome = gateway.outcome(raw.headers["x-request-id"])
    assert outcome["status"] == "completed"
    assert outcome["usage"]["input_tokens"] == 40
    assert outcome["usage"]["cached_input_tokens"] == 8
    assert outcome["usage"]["output_tokens"] == 17
    assert outcome["usage"]["basis"] == "reported"
    assert outcome["cost"] == 40 * 1_000 + 17 * 2_000
