// openai-node and Anthropic's SDK for Node, unmodified but for baseURL, against a running gateway.
// FREEHOLD_URL and FAKE_URL are set by the Python suite that starts both (see ../python/test_node.py).
import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const url = process.env.FREEHOLD_URL;
const fakeUrl = process.env.FAKE_URL;
assert.ok(url && fakeUrl, "FREEHOLD_URL and FAKE_URL must be set");

const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: "none", maxRetries: 0 });
const anthropic = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
const question = [{ role: "user", content: "Say hello in a few words." }];
const parameters = {
  type: "object",
  properties: { city: { type: "string", enum: ["Paris", "Rome"] } },
  required: ["city"],
  additionalProperties: false,
};
const real = ["local/smollm2-135m-instruct", "llamacpp/smollm2-135m-instruct"];
const fakes = ["fake/fake-model", "fake-anthropic/fake-model"];

async function script(behaviour) {
  await fetch(`${fakeUrl}/__reset`, { method: "POST" });
  if (behaviour) {
    const response = await fetch(`${fakeUrl}/__script`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(behaviour),
    });
    assert.ok(response.ok);
  }
}

for (const model of [...real, ...fakes]) {
  test(`openai: plain, ${model}`, async () => {
    await script();
    const answer = await openai.chat.completions.create({ model, messages: question, max_tokens: 16 });
    assert.ok(answer.choices[0].message.content);
    assert.ok(answer.usage.completion_tokens > 0);
  });

  test(`openai: streaming, ${model}`, async () => {
    await script();
    const stream = await openai.chat.completions.create({
      model, messages: question, max_tokens: 16, stream: true, stream_options: { include_usage: true },
    });
    let text = "";
    let usage;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta?.content ?? "";
      usage = chunk.usage ?? usage;
    }
    assert.ok(text);
    assert.ok(usage.completion_tokens > 0);
  });

  test(`anthropic: plain and streaming, ${model}`, async () => {
    await script();
    const answer = await anthropic.messages.create({ model, messages: question, max_tokens: 16 });
    assert.equal(answer.content[0].type, "text");
    assert.ok(answer.content[0].text);
    const final = await anthropic.messages
      .stream({ model, messages: question, max_tokens: 16 })
      .finalMessage();
    assert.ok(final.content[0].text);
    assert.ok(final.usage.output_tokens > 0);
  });
}

// The llama.cpp server leaves tools out: this model's own template knows none.
for (const model of [real[0], ...fakes]) {
  test(`openai: tools, ${model}`, async () => {
    await script({ tool_calls: [{ arguments: { city: "Paris" } }] });
    const answer = await openai.chat.completions.create({
      model,
      messages: [{ role: "user", content: "What is the weather in Paris?" }],
      tools: [{ type: "function", function: { name: "get_weather", parameters } }],
      tool_choice: "required",
      parallel_tool_calls: false,
      max_tokens: 256,
    });
    const call = answer.choices[0].message.tool_calls[0];
    assert.equal(call.function.name, "get_weather");
    assert.equal(typeof JSON.parse(call.function.arguments).city, "string");
  });

  test(`anthropic: tools, ${model}`, async () => {
    await script({ tool_calls: [{ arguments: { city: "Paris" } }] });
    const final = await anthropic.messages
      .stream({
        model,
        messages: [{ role: "user", content: "What is the weather in Paris?" }],
        tools: [{ name: "get_weather", input_schema: parameters }],
        tool_choice: { type: "any", disable_parallel_tool_use: true },
        max_tokens: 256,
      })
      .finalMessage();
    const call = final.content.find((block) => block.type === "tool_use");
    assert.equal(typeof call.input.city, "string");
  });
}

for (const model of real) {
  test(`openai: structured output, ${model}`, async () => {
    await script();
    const answer = await openai.chat.completions.create({
      model,
      messages: [{ role: "user", content: "Name a city. Answer in JSON." }],
      response_format: {
        type: "json_schema",
        json_schema: { name: "place", strict: true, schema: parameters },
      },
      max_tokens: 120,
      temperature: 0,
    });
    assert.equal(typeof JSON.parse(answer.choices[0].message.content).city, "string");
  });
}

for (const model of fakes) {
  test(`openai: an aborted stream reaches the upstream, ${model}`, async () => {
    await script({ tokens: 500, pace: { inter_token_ms: 20 } });
    const stream = await openai.chat.completions.create({ model, messages: question, stream: true });
    let count = 0;
    for await (const chunk of stream) {
      assert.ok(chunk);
      count += 1;
      if (count === 5) break;
    }
    const deadline = Date.now() + 10_000;
    let log;
    do {
      log = (await (await fetch(`${fakeUrl}/__log`)).json()).requests;
    } while (log.at(-1)?.end !== "client_aborted" && Date.now() < deadline);
    assert.equal(log.at(-1).end, "client_aborted");
  });

  test(`errors keep their class, ${model}`, async () => {
    await script({ fault: { kind: "status", status: 400 } });
    await assert.rejects(
      openai.chat.completions.create({ model, messages: question }),
      OpenAI.BadRequestError,
    );
    await script({ fault: { kind: "status", status: 400 } });
    await assert.rejects(
      anthropic.messages.create({ model, messages: question, max_tokens: 5 }),
      Anthropic.BadRequestError,
    );
  });
}

test("an unknown model is not found", async () => {
  await assert.rejects(
    openai.chat.completions.create({ model: "no-such-model", messages: question }),
    OpenAI.NotFoundError,
  );
  await assert.rejects(
    anthropic.messages.create({ model: "no-such-model", messages: question, max_tokens: 5 }),
    Anthropic.NotFoundError,
  );
});
