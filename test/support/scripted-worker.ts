import type { ServerCredentials } from "@grpc/grpc-js";
import { AdapterServiceDefinition, Capacity, FleetServiceDefinition, InferenceServiceDefinition, Tier } from "@polygraft/api";
import type { Adapter, AdapterServiceImplementation, GenerateRequest, JoinRequest, JoinResponse, LoadSample } from "@polygraft/api";
import { decodeJwt } from "jose";
import { createChannel, createClient, createServer, Metadata } from "nice-grpc";
import type { CallContext, ChannelCredentials } from "nice-grpc";
import { errorDetailsServerMiddleware } from "nice-grpc-error-details";
import { Outbox } from "../../src/router/fleet/outbox.js";
import type { Script } from "./scripted-service.js";
import { startWire } from "./wire.js";

/** Who a scripted worker is and what it does. */
export interface ScriptedWorkerOptions {
  /** Address of the router that it joins. */
  readonly router: string;
  readonly name: string;
  /** Default: "tiny". */
  readonly model?: string;
  /** Digest of the weights that it serves. Default: it does not say. */
  readonly weights?: string;
  /** What it announces. Default: nothing. */
  readonly adapters?: readonly Adapter[];
  /** What it answers to `Generate`. */
  readonly script: Script;
  /** What it answers to `AdapterService`. Default: UNIMPLEMENTED. */
  readonly adapterService?: AdapterServiceImplementation;
  readonly apiKey?: string;
  /** Default: "epoch". */
  readonly epoch?: string;
  /** What it can hold. Default: it does not say. */
  readonly capacity?: Partial<Capacity>;
  /** Waits for its first adapters, until it says `warmed`. Default: false. */
  readonly warming?: boolean;
  /** Another address to announce, such as one where nobody listens. */
  readonly address?: string;
  /** Serves with TLS. */
  readonly tls?: ServerCredentials;
  /** For a router at "https://…". */
  readonly routerTls?: ChannelCredentials;
}

/** A `Generate` call that a scripted worker has received. */
export interface ReceivedCall {
  readonly request: GenerateRequest;
  readonly context: CallContext;
}

/** Who made a call, as its token says: the router for a client, or a client itself. */
export function callerOf({ context }: ReceivedCall): string | undefined {
  const token = context.metadata.get("authorization")?.slice("Bearer ".length);
  return token === undefined ? undefined : decodeJwt(token).sub;
}

/** A real worker process in all but the engine: it serves, joins a router, and plays a script. */
export interface ScriptedWorker extends AsyncDisposable {
  readonly name: string;
  readonly address: string;
  /** Where it listens, whatever address it announces. */
  readonly port: number;
  /** Calls received so far. */
  readonly calls: readonly ReceivedCall[];
  /** Resolves when that many calls have been received. */
  received(count: number): Promise<void>;
  /** Says how busy it is. */
  load(sample: Partial<LoadSample>): void;
  /** Says anything to the router; the sequence number is filled in. */
  say(message: NonNullable<JoinRequest["message"]>): void;
  /** Resolves with the adapters that the router has told it to load by then, once it has told so of that one. */
  toldToLoad(id: string): Promise<readonly string[]>;
  /** Resolves when the router has told it that it need not wait for others to leave. */
  handedOver(): Promise<void>;
  /** Resolves when the router has ended its stream, with the error if it was one. */
  readonly expelled: Promise<Error | undefined>;
  /** Cuts all connections that serve calls, without a goodbye. The worker stays in the fleet. */
  cut(): void;
  /** Lets no byte through any more, in either direction, and closes nothing: a machine that vanished. */
  freeze(): void;
  /** Takes no new connections; those that stand go on. */
  shut(): void;
  /** Ends its stream to the router. */
  leave(): void;
}

/** Starts a scripted worker. It has said its greeting and its snapshot, but the router may not have read them yet. */
export async function startScriptedWorker(options: ScriptedWorkerOptions): Promise<ScriptedWorker> {
  const calls: ReceivedCall[] = [];
  const waiting: { readonly count: number; readonly resolve: () => void }[] = [];
  const server = createServer().use(errorDetailsServerMiddleware);
  server.add(InferenceServiceDefinition, {
    generate(request, context) {
      calls.push({ request, context });
      for (const { count, resolve } of waiting) if (calls.length >= count) resolve();
      return options.script(request, context);
    },
  });
  if (options.adapterService !== undefined) server.add(AdapterServiceDefinition, options.adapterService);
  const port = await server.listen("127.0.0.1:0", options.tls);
  const wire = await startWire(port);

  const outbox = new Outbox<JoinRequest>(100_000);
  let sequence = 0n;
  const say = (message: NonNullable<JoinRequest["message"]>) => {
    sequence += 1n;
    outbox.push({ sequence, message });
  };
  const address = options.address ?? wire.address;
  say({ $case: "hello", value: hello(options, address) });
  const adapters = [...(options.adapters ?? [])];
  say({ $case: "residency", value: { snapshot: true, complete: true, adapters, removedIds: [] } });
  const channel = createChannel(options.router, options.routerTls);
  const metadata = Metadata(options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` });
  const leaving = new AbortController();
  const responses = createClient(FleetServiceDefinition, channel).join(outbox, { metadata, signal: leaving.signal });
  const told: string[] = [];
  let released = false;
  const listeners = new Set<() => void>();
  const expelled = drain(responses, ({ message }) => {
    if (message?.$case === "prefetch") told.push(message.value.adapter?.id ?? "");
    if (message?.$case === "warmUp") told.push(...message.value.adapters.map(({ id }) => id));
    if (message?.$case === "handedOver") released = true;
    for (const listener of listeners) listener();
  });
  const until = (holds: () => boolean) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (!holds()) return;
        listeners.delete(look);
        resolve();
      };
      listeners.add(look);
      look();
    });
  let samples = 0n;

  return {
    name: options.name,
    address,
    port: wire.port,
    calls,
    expelled,
    say,
    received(count) {
      if (calls.length >= count) return Promise.resolve();
      return new Promise((resolve) => waiting.push({ count, resolve }));
    },
    async toldToLoad(id) {
      await until(() => told.includes(id));
      return told;
    },
    handedOver: () => until(() => released),
    load(sample) {
      samples += 1n;
      say({ $case: "load", value: { number: samples, ageMicros: 0, ...sample } });
    },
    cut: wire.cut,
    freeze: wire.freeze,
    shut: wire.shut,
    leave: () => outbox.close(),
    async [Symbol.asyncDispose]() {
      leaving.abort();
      wire.close();
      server.forceShutdown();
      await expelled;
      channel.close();
    },
  };
}

/** An adapter as a worker announces it. */
export function announcedAdapter(id: string, more: { tier?: Tier; revision?: string; digest?: string } = {}): Adapter {
  const { tier = Tier.DISK, revision = "", digest = `sha256:${id}` } = more;
  return {
    identity: { id, revision, digest },
    baseModel: "tiny",
    rank: 8,
    targetModules: ["q_proj"],
    bytes: 4096n,
    source: "",
    residency: [{ worker: "", tier, pinned: false, references: 0, loadMicros: 0 }],
    error: "",
  };
}

function hello(options: ScriptedWorkerOptions, address: string) {
  const name = options.model ?? "tiny";
  return {
    name: options.name,
    epoch: options.epoch ?? "epoch",
    address,
    zone: "",
    model: { name, digest: options.weights ?? "", contextLength: 512, vocabularySize: 320, weights: "w4-g32", device: "cpu" },
    capacity: options.capacity && Capacity.fromPartial(options.capacity),
    version: "0",
    tls: options.tls !== undefined,
    warming: options.warming ?? false,
  };
}

async function drain(responses: AsyncIterable<JoinResponse>, hear: (response: JoinResponse) => void): Promise<Error | undefined> {
  try {
    for await (const response of responses) hear(response);
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
