// OpenAI's own client for JavaScript. Arguments: base URL, key, model, unknown model, folder of node_modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const [baseURL, apiKey, model, unknownModel, folder] = process.argv.slice(2);
const { OpenAI } = createRequire(`${folder}/`)("openai");
const S = JSON.parse(readFileSync(new URL("scenario.json", import.meta.url), "utf8"));
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 20_000 });
const tools = [{ type: "function", function: S.tool }];
const user = (content) => ({ role: "user", content });
const conversation = [
  { role: "system", content: S.system },
  ...S.turns.map(([role, content]) => ({ role, content })),
];
const limits = { temperature: S.temperature, max_tokens: S.max_tokens, stop: S.stop };
const create = (messages, more = {}) => client.chat.completions.create({ model, messages, ...more });

const counts = (usage) =>
  usage && {
    prompt: usage.prompt_tokens,
    completion: usage.completion_tokens,
    total: usage.total_tokens,
    cached: usage.prompt_tokens_details.cached_tokens,
    thinking: usage.completion_tokens_details.reasoning_tokens,
  };

const seen = ({ choices: [{ message, finish_reason }], usage }) => ({
  text: message.content,
  calls: (message.tool_calls ?? []).map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
  finish: finish_reason,
  usage: counts(usage),
});

// The client's own stream helper puts the pieces together.
async function streamed(messages, more = {}) {
  const runner = client.chat.completions.stream({ model, messages, ...more });
  let pieces = 0;
  runner.on("content", () => pieces++);
  const answer = await runner.finalChatCompletion();
  return { answer, found: { ...seen(answer), "in pieces": pieces > 1 } };
}

const results = (message) =>
  message.tool_calls.map(({ id }) => ({ role: "tool", tool_call_id: id, content: JSON.stringify(S.weather) }));

async function toolCalls() {
  const one = await create([user(S.one_city)], { tools });
  const asked = one.choices[0].message;
  const afterOne = await create([user(S.one_city), asked, ...results(asked)], { tools });
  const counted = { tools, stream_options: { include_usage: true } };
  const two = await streamed([user(S.two_cities)], counted);
  const message = two.answer.choices[0].message;
  const afterTwo = await streamed([user(S.two_cities), message, ...results(message)], counted);
  return { one: seen(one), "after one": seen(afterOne), two: two.found, "after two": afterTwo.found };
}

async function json() {
  const format = { type: "json_schema", json_schema: { name: "person", strict: true, schema: S.schema } };
  const answer = await create([user(S.json)], { response_format: format });
  return { ...seen(answer), json: JSON.parse(answer.choices[0].message.content) };
}

async function errors() {
  const cases = {
    "unknown model": [unknownModel, S.hello],
    "rate limit": [model, S.overloaded],
    "too long": [model, S.too_long],
  };
  const found = {};
  for (const [name, [asked, text]] of Object.entries(cases)) {
    try {
      await create([user(text)], { model: asked });
      found[name] = { failed: "no error" };
    } catch (error) {
      const retry = error.headers?.get("retry-after") ?? null;
      found[name] = { class: error.constructor.name, status: error.status, code: error.code, "retry-after": retry };
    }
  }
  return found;
}

const features = {
  conversation: async () => seen(await create(conversation, limits)),
  stream: async () => (await streamed(conversation, { ...limits, stream_options: { include_usage: true } })).found,
  tools: toolCalls,
  json,
  errors,
};
const report = {};
for (const [name, run] of Object.entries(features)) {
  report[name] = await run().catch((error) => ({ failed: `${error.constructor.name}: ${error.message}` }));
}
console.log(JSON.stringify(report));
