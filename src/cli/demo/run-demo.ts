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
  readonly firstTokenMs: number;
  /** Tokens after the first over the time that they took; undefined if there were fewer than two. */
  readonly tokensPerSecond: number | undefined;
  /** What the base said to the same prompt. */
  readonly base: string;
}

/** Runs all prompts at once, each with its adapter, and one more with the base; then the base on all of them. */
export async function runDemo(client: Polygraft, prompts: readonly DemoPrompt[], signal: AbortSignal): Promise<DemoRow[]> {
  const first = prompts[0];
  if (first === undefined) throw new Error("the prompts file is empty");
  process.stdout.write(`\n${prompts.length + 1} requests at once, on one base model:\n\n`);
  const requests: (DemoPrompt | Omit<DemoPrompt, "adapter">)[] = [
    ...prompts,
    { prompt: first.prompt, maxTokens: first.maxTokens },
  ];
  const view = streamView(requests.map((request) => ("adapter" in request ? request.adapter : "(base)")));
  const measured = await Promise.all(requests.map((request, index) => stream(client, toRequest(request), view, index, signal)));
  view.close();

  process.stdout.write("\nasking the base the same prompts\n");
  const base = await Promise.all(
    requests.map(({ prompt, maxTokens }) => client.generate(toRequest({ prompt, maxTokens }), { signal }).text()),
  );
  return requests.map((request, index) => ({
    ...("adapter" in request ? { adapter: request.adapter } : {}),
    prompt: promptTail(request.prompt),
    ...measured[index]!,
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
): Promise<Pick<DemoRow, "result" | "firstTokenMs" | "tokensPerSecond">> {
  const generation = client.generate(request, { signal });
  let tokens = 0;
  let firstAt = 0;
  let firstTokens = 0;
  let lastAt = 0;
  for await (const event of generation) {
    if (event.type !== "delta") continue;
    lastAt = performance.now();
    tokens += event.tokenIds.length;
    if (firstAt === 0) [firstAt, firstTokens] = [lastAt, tokens];
    view.write(index, event.text);
  }
  const result = await generation.final();
  const rate = tokens > firstTokens ? ((tokens - firstTokens) / (lastAt - firstAt)) * 1000 : undefined;
  view.end(index, `${result.worker}, ${result.usage.outputTokens} tokens`);
  return { result, firstTokenMs: result.timings.firstTokenMs, tokensPerSecond: rate };
}
