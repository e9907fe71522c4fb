import type { GenerateRequest, GenerationResult, Polygraft } from "@polygraft/client";
import { streamView } from "../output/stream-view.js";
import type { StreamView } from "../output/stream-view.js";
import { promptTail } from "./prompts.js";
import type { DemoPrompt } from "./prompts.js";

/** What came of one request. */
export interface DemoRow {
  /** Absent: the base. */
  readonly adapter?: string;
  readonly prompt: string;
  readonly result: GenerationResult;
  /** What the base said to the same prompt. */
  readonly base: string;
}

/** Runs all prompts at once, each with its adapter, and one more with the base; then the base on all of them. */
export async function runDemo(client: Polygraft, prompts: readonly DemoPrompt[], signal: AbortSignal): Promise<DemoRow[]> {
  const first = prompts[0];
  if (first === undefined) throw new Error("no prompt of the prompts file has an adapter that is served");
  process.stdout.write(`\n${prompts.length + 1} requests at once, on one base model:\n\n`);
  const requests: (DemoPrompt | Omit<DemoPrompt, "adapter">)[] = [
    ...prompts,
    { prompt: first.prompt, maxTokens: first.maxTokens },
  ];
  const view = streamView(requests.map((request) => ("adapter" in request ? request.adapter : "(base)")));
  const results = await Promise.all(requests.map((request, index) => stream(client, toRequest(request), view, index, signal)));
  view.close();

  process.stdout.write("\nasking the base the same prompts\n");
  const base = await Promise.all(
    requests.map(({ prompt, maxTokens }) => client.generate(toRequest({ prompt, maxTokens }), { signal }).text()),
  );
  return requests.map((request, index) => ({
    ...("adapter" in request ? { adapter: request.adapter } : {}),
    prompt: promptTail(request.prompt),
    result: results[index]!,
    base: base[index] ?? "",
  }));
}

function toRequest(request: DemoPrompt | Omit<DemoPrompt, "adapter">): GenerateRequest {
  return { ...request, temperature: 0 };
}

async function stream(
  client: Polygraft,
  request: GenerateRequest,
  view: StreamView,
  index: number,
  signal: AbortSignal,
): Promise<GenerationResult> {
  const generation = client.generate(request, { signal });
  for await (const text of generation.textStream()) view.write(index, text);
  const result = await generation.final();
  view.end(index, `${result.worker}, ${result.usage.outputTokens} tokens`);
  return result;
}
