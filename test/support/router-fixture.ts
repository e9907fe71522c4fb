import { InferenceServiceDefinition, WorkerState } from "@polygraft/api";
import type { GenerateRequest, GenerateResponse, InferenceServiceClient } from "@polygraft/api";
import { createChannel, createClientFactory } from "nice-grpc";
import { errorDetailsClientMiddleware, ErrorInfo, RichClientError } from "nice-grpc-error-details";
import { startRouter } from "../../src/router/index.js";
import type { Log, Router, RouterOptions } from "../../src/router/index.js";

/** A log that tests do not read. */
export const silentLog: Log = { info: () => {}, warn: () => {}, error: () => {} };

/** Scripted workers say nothing unless told to; only tests of silence want it judged. */
const noJudgement = { suspectAfterMillis: 1e9, goneAfterMillis: 1e9 };

/** A router on a free port that ends with its scope. */
export async function temporaryRouter(options: RouterOptions = {}): Promise<Router & AsyncDisposable> {
  const router = await startRouter({ listen: "127.0.0.1:0", name: "router-1", log: silentLog, ...noJudgement, ...options });
  return { ...router, [Symbol.asyncDispose]: () => router.close() };
}

/** Resolves when all of these workers are listed, and take requests. */
export async function listed(router: Router, ...names: readonly string[]): Promise<void> {
  await inState(router, WorkerState.READY, ...names);
}

/** Resolves when all of these workers are in that state. */
export async function inState(router: Router, state: WorkerState, ...names: readonly string[]): Promise<void> {
  const all = () => names.every((name) => router.fleet.member(name)?.state === state);
  if (all()) return;
  await new Promise<void>((resolve) => {
    const stop = router.fleet.listen({
      changed() {
        if (!all()) return;
        stop();
        resolve();
      },
    });
  });
}

/** Resolves when a worker is listed no more. */
export async function unlisted(router: Router, name: string): Promise<void> {
  if (router.fleet.member(name) === undefined) return;
  await new Promise<void>((resolve) => {
    const stop = router.fleet.listen({
      left(member) {
        if (member.name !== name) return;
        stop();
        resolve();
      },
    });
  });
}

/** A plain generated client. */
export function inferenceClient(address: string): Disposable & { readonly client: InferenceServiceClient } {
  const channel = createChannel(address);
  const client = createClientFactory().use(errorDetailsClientMiddleware).create(InferenceServiceDefinition, channel);
  return { client, [Symbol.dispose]: () => channel.close() };
}

/** What a client made of a stream: the events it got, and the error that ended it, if any. */
export interface Heard {
  readonly events: readonly GenerateResponse[];
  readonly text: string;
  readonly error: Error | undefined;
}

/** Reads a stream to its end. */
export async function hear(stream: AsyncIterable<GenerateResponse>): Promise<Heard> {
  const events: GenerateResponse[] = [];
  let error: Error | undefined;
  try {
    for await (const event of stream) events.push(event);
  } catch (caught) {
    error = caught as Error;
  }
  return { events, text: events.map(textOf).join(""), error };
}

/** The text that an event brings. */
export function textOf({ event }: GenerateResponse): string {
  return event?.$case === "delta" ? event.value.text : "";
}

/** The worker that says it serves. */
export function servedBy({ events }: Heard): string | undefined {
  const first = events[0]?.event;
  return first?.$case === "accepted" ? first.value.worker : undefined;
}

/** `reason` and metadata of an error's `ErrorInfo`. */
export function errorInfo(error: Error | undefined): { reason: string; metadata: Record<string, string> } | undefined {
  if (!(error instanceof RichClientError)) return undefined;
  const info = error.extra.find((detail) => detail.$type === ErrorInfo.$type) as ErrorInfo | undefined;
  return info === undefined ? undefined : { reason: info.reason, metadata: info.metadata };
}

/** A request for a text, of an adapter if one is named. */
export function textRequest(text: string, adapter?: string): Partial<GenerateRequest> {
  const request: Partial<GenerateRequest> = { prompt: { $case: "text", value: text } };
  return adapter === undefined ? request : { ...request, adapter: { id: adapter, revision: "", digest: "" } };
}
