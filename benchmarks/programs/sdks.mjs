// A session by one library for JavaScript: NAME BASE KEY MODEL FOLDER; prints the last text.
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const [name, base, key, model, folder] = process.argv.slice(2);
const prompt = "Write first.txt, read it, then write second.txt.";
const place = (path) => join(folder, basename(path));
const tools = {
  write_file: ({ path, content }) => (writeFileSync(place(path), content), "written"),
  read_file: ({ path }) => readFileSync(place(path), "utf8"),
};
const text = { type: "string" };
const schemas = {
  write_file: { type: "object", properties: { path: text, content: text }, required: ["path", "content"] },
  read_file: { type: "object", properties: { path: text }, required: ["path"] },
};
const each = (make) => Object.keys(tools).map((tool) => make(tool, schemas[tool]));
const called = (tool, given) => tools[tool](typeof given === "string" ? JSON.parse(given) : given);

async function anthropic() {
  const { default: Anthropic } = await import("@anthropic-ai/sdk");
  const client = new Anthropic({ baseURL: base, apiKey: key });
  const messages = [{ role: "user", content: prompt }];
  for (;;) {
    const offered = each((tool, input_schema) => ({ name: tool, input_schema }));
    const answer = await client.messages.stream({ model, max_tokens: 2000, tools: offered, messages }).finalMessage();
    const calls = answer.content.filter((block) => block.type === "tool_use");
    if (!calls.length) return answer.content[0].text;
    const results = calls.map((c) => ({ type: "tool_result", tool_use_id: c.id, content: called(c.name, c.input) }));
    messages.push({ role: "assistant", content: answer.content }, { role: "user", content: results });
  }
}

async function openai_chat() {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key });
  const messages = [{ role: "user", content: prompt }];
  for (;;) {
    const offered = each((tool, parameters) => ({ type: "function", function: { name: tool, parameters } }));
    const stream = client.chat.completions.stream({ model, tools: offered, messages });
    const message = (await stream.finalChatCompletion()).choices[0].message;
    messages.push(message);
    if (!message.tool_calls?.length) return message.content;
    for (const c of message.tool_calls)
      messages.push({ role: "tool", tool_call_id: c.id, content: called(c.function.name, c.function.arguments) });
  }
}

async function openai_responses() {
  const { default: OpenAI } = await import("openai");
  const client = new OpenAI({ baseURL: `${base}/v1`, apiKey: key });
  const input = [{ role: "user", content: prompt }];
  for (;;) {
    const offered = each((tool, parameters) => ({ type: "function", name: tool, parameters, strict: false }));
    const answer = await client.responses.stream({ model, tools: offered, input }).finalResponse();
    input.push(...answer.output);
    const calls = answer.output.filter((item) => item.type === "function_call");
    if (!calls.length) return answer.output_text;
    for (const c of calls)
      input.push({ type: "function_call_output", call_id: c.call_id, output: called(c.name, c.arguments) });
  }
}

async function ai(chosen) {
  const { jsonSchema, stepCountIs, streamText, tool } = await import("ai");
  const offered = Object.fromEntries(
    each((name, schema) => [name, tool({ inputSchema: jsonSchema(schema), execute: async (given) => called(name, given) })]),
  );
  let failed;
  const onError = ({ error }) => (failed = error);
  const run = streamText({ model: chosen, prompt, tools: offered, stopWhen: stepCountIs(9), onError });
  await run.consumeStream();
  if (failed) throw failed;
  return await run.text;
}

async function ai_openai() {
  const { createOpenAI } = await import("@ai-sdk/openai");
  return ai(createOpenAI({ baseURL: `${base}/v1`, apiKey: key })(model));
}

async function ai_chat() {
  const { createOpenAI } = await import("@ai-sdk/openai");
  return ai(createOpenAI({ baseURL: `${base}/v1`, apiKey: key }).chat(model));
}

async function ai_anthropic() {
  const { createAnthropic } = await import("@ai-sdk/anthropic");
  return ai(createAnthropic({ baseURL: `${base}/v1`, apiKey: key })(model));
}

async function ai_google() {
  const { createGoogleGenerativeAI } = await import("@ai-sdk/google");
  return ai(createGoogleGenerativeAI({ baseURL: `${base}/gemini/v1beta`, apiKey: key })(model));
}

async function agents() {
  const { Agent, run, setDefaultOpenAIClient, setTracingDisabled, tool } = await import("@openai/agents");
  const { default: OpenAI } = await import("openai");
  setTracingDisabled(true);
  setDefaultOpenAIClient(new OpenAI({ baseURL: `${base}/v1`, apiKey: key }));
  const offered = each((name, parameters) =>
    tool({ name, description: name, parameters: { ...parameters, additionalProperties: false }, strict: true, execute: async (given) => called(name, given) }),
  );
  return (await run(new Agent({ name: "a", model, tools: offered }), prompt)).finalOutput;
}

console.log(await { anthropic, openai_chat, openai_responses, ai_openai, ai_chat, ai_anthropic, ai_google, agents }[name]());
