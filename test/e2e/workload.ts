import { Polygraft } from "@polygraft/client";
import type { GenerateRequest, GenerationResult } from "@polygraft/client";

/** A request of the workload in words that every client of the contract can say. */
export interface WorkItem {
  readonly prompt: readonly number[];
  readonly adapter: string;
  readonly max_tokens: number;
  readonly ignore_eos: true;
  readonly logprobs: true;
  /** 0: greedy. */
  readonly temperature: number;
  readonly seed: number;
}

/** What must not depend on who else is in the batch, on the path, or on the client. */
export interface Output {
  readonly tokenIds: readonly number[];
  readonly logprobs: readonly number[];
}

/** 32 requests over the adapters in turn: prompts of many lengths, every third one sampled. */
export function workload(adapters: readonly string[]): WorkItem[] {
  return Array.from({ length: 32 }, (_, index) => ({
    prompt: Array.from({ length: 3 + ((index * 7) % 40) }, (_, position) => 10 + ((index * 31 + position * 17) % 300)),
    adapter: adapters[index % adapters.length] ?? "",
    max_tokens: 16 + (index % 5),
    ignore_eos: true,
    logprobs: true,
    temperature: index % 3 === 0 ? 0.8 : 0,
    seed: index,
  }));
}

/** Runs one request. */
export async function generate(client: Polygraft, item: WorkItem): Promise<GenerationResult> {
  const { max_tokens: maxTokens, ignore_eos: ignoreEos, ...rest } = item;
  const request: GenerateRequest = { ...rest, maxTokens, ignoreEos };
  return client.generate(request).final();
}

/** Runs requests one after the other at one server. */
export async function oneByOne(address: string, items: readonly WorkItem[]): Promise<Output[]> {
  await using client = new Polygraft({ address });
  const outputs: Output[] = [];
  for (const item of items) outputs.push(toOutput(await generate(client, item)));
  return outputs;
}

/** The part of a result that is compared. */
export function toOutput({ tokenIds, logprobs }: GenerationResult): Output {
  return { tokenIds, logprobs: logprobs.map(({ logprob }) => logprob) };
}
