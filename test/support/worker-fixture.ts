import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { AdapterServiceDefinition, InferenceServiceDefinition } from "@polygraft/api";
import type { AdapterServiceClient, GenerateRequest, GenerateResponse, InferenceServiceClient } from "@polygraft/api";
import { createChannel, createClientFactory } from "nice-grpc";
import { errorDetailsClientMiddleware } from "nice-grpc-error-details";
import { startWorker, type StartHooks, type Worker, type WorkerOptions } from "../../gpu-worker/src/index.js";
import { temporaryFolder } from "./temporary-folder.js";
import { writeTinyAdapter, writeTinyModel, type TinyAdapterOptions, type TinyShape } from "./tiny-model.js";

/** A worker in this process with the real engine and a tiny model, and clients of it. Ends with its scope. */
export interface TemporaryWorker extends AsyncDisposable {
  readonly worker: Worker;
  /** Folder of the adapters. */
  readonly adapters: string;
  readonly inference: InferenceServiceClient;
  readonly adapterService: AdapterServiceClient;
}

const silent = { info: () => {}, warn: () => {}, error: () => {} };

/** Writes a tiny model and adapters by these names, and starts a worker on them. */
export async function temporaryWorker(
  adapters: Readonly<Record<string, TinyAdapterOptions>> = {},
  options: Partial<WorkerOptions> = {},
  { shape, ...hooks }: StartHooks & { readonly shape?: Partial<TinyShape> } = {},
): Promise<TemporaryWorker> {
  const folder = await temporaryFolder();
  const model = join(folder.path, "tiny");
  const adapterFolder = join(folder.path, "adapters");
  await mkdir(adapterFolder);
  await writeTinyModel(model, { ...(shape && { shape }) });
  for (const [name, adapter] of Object.entries(adapters)) await writeTinyAdapter(join(adapterFolder, name), adapter);
  const defaults = { model, name: "worker-1", adapters: adapterFolder, cacheDir: join(folder.path, "cache") };
  const worker = await startWorker({ ...defaults, threads: 1, drainSeconds: 5, log: silent, ...options }, hooks);
  const channel = createChannel(worker.address);
  const clients = createClientFactory().use(errorDetailsClientMiddleware);
  return {
    worker,
    adapters: adapterFolder,
    inference: clients.create(InferenceServiceDefinition, channel),
    adapterService: clients.create(AdapterServiceDefinition, channel),
    async [Symbol.asyncDispose]() {
      channel.close();
      await worker.drain("the test is over");
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** What came of a generation, put together. */
export interface Output {
  readonly text: string;
  readonly tokenIds: number[];
  readonly logprobs: number[];
  readonly accepted: Extract<NonNullable<GenerateResponse["event"]>, { $case: "accepted" }>["value"] | undefined;
  readonly finished: Extract<NonNullable<GenerateResponse["event"]>, { $case: "finished" }>["value"] | undefined;
  readonly events: readonly GenerateResponse[];
}

/** Reads a stream to its end, and puts it together. */
export async function collect(stream: AsyncIterable<GenerateResponse>): Promise<Output> {
  const events: GenerateResponse[] = [];
  for await (const event of stream) events.push(event);
  return assemble(events);
}

/** Puts the events of a stream together. */
export function assemble(events: readonly GenerateResponse[]): Output {
  const deltas = events.flatMap(({ event }) => (event?.$case === "delta" ? [event.value] : []));
  const first = events[0]?.event;
  const last = events.at(-1)?.event;
  return {
    text: deltas.map(({ text }) => text).join(""),
    tokenIds: deltas.flatMap(({ tokenIds }) => tokenIds),
    logprobs: deltas.flatMap(({ logprobs }) => logprobs.map(({ logprob }) => logprob)),
    accepted: first?.$case === "accepted" ? first.value : undefined,
    finished: last?.$case === "finished" ? last.value : undefined,
    events,
  };
}

type PartialRequest = NonNullable<Parameters<typeof GenerateRequest.fromPartial>[0]>;

/** A request of a few greedy tokens that no end-of-sequence token cuts short. */
export function request(prompt: string | NonNullable<PartialRequest["prompt"]>, more: PartialRequest = {}): PartialRequest {
  return {
    prompt: typeof prompt === "string" ? { $case: "text", value: prompt } : prompt,
    ...more,
    stopping: { maxTokens: 12, ignoreEos: true, ...more.stopping },
  };
}
