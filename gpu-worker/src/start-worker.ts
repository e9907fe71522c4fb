import { hostname } from "node:os";
import { Tier, type PrefetchAdapter } from "@polygraft/api";
import { openApiKey } from "./access/api-key.js";
import { Gate } from "./access/gate.js";
import { KeyRing } from "./access/key-ring.js";
import { AdapterStore } from "./adapters/store.js";
import { openCertificates, type OpenCertificates } from "./certificates.js";
import type { Engine } from "./engine/engine.js";
import { makeHello } from "./fleet/hello.js";
import { LoadMeter } from "./fleet/load-meter.js";
import { ResidencyLog } from "./fleet/residency-log.js";
import { WarmUp } from "./fleet/warm-up.js";
import type { Resolve } from "./fleet/router-addresses.js";
import { RouterLink } from "./fleet/router-link.js";
import { Routers } from "./fleet/routers.js";
import { openEngine } from "./open-engine.js";
import type { ResolvedOptions, WorkerOptions } from "./options.js";
import { Admission } from "./request/admission.js";
import { InferenceService } from "./request/inference-service.js";
import { resolveOptions } from "./resolve-options.js";
import { AdapterService } from "./server/adapter-service.js";
import { WorkerHealth } from "./server/health.js";
import { startWorkerServer } from "./server/worker-server.js";
import { openSources } from "./sources.js";
import { PromptEncoder } from "./tokenizer/prompt-encoder.js";
import { Tokenizer } from "./tokenizer/tokenizer.js";
import { Worker } from "./worker.js";

/** What a worker is started with beyond its options. */
export interface StartHooks {
  /** A router asks the worker to leave. */
  readonly onDrainRequest?: (reason: string) => void;
  /** Resolves names of routers. Default: as the system does. */
  readonly resolve?: Resolve;
}

const DEFAULT_HOST_ADAPTER_BYTES = 2 * 1024 ** 3;

/**
 * Starts a worker: opens the model, looks for adapters, listens, joins its routers.
 * @throws RangeError for a bad option, EngineError for a model that cannot be served, Error for a folder or an address.
 */
export async function startWorker(options: WorkerOptions, hooks: StartHooks = {}): Promise<Worker> {
  const resolved = resolveOptions(options);
  const [sources, tokenizer] = await Promise.all([openSources(resolved), Tokenizer.load(resolved.model)]);
  const certificates = await openCertificates(resolved.certificates, resolved.log);
  let engine: Engine | undefined;
  try {
    engine = await openEngine(resolved);
    return await serve(resolved, hooks, engine, tokenizer, sources, certificates);
  } catch (error) {
    certificates.close();
    await engine?.close();
    throw error;
  }
}

async function serve(
  options: ResolvedOptions,
  hooks: StartHooks,
  engine: Engine,
  tokenizer: Tokenizer,
  sources: Awaited<ReturnType<typeof openSources>>,
  certificates: OpenCertificates,
): Promise<Worker> {
  const { listen, log, modelName, hostAdapterBytes, adapterWaitMillis, adapterTurnMillis } = options;
  const identity = { name: options.name ?? "", model: modelName };
  const adapters = new AdapterStore({
    engine,
    worker: identity,
    sources,
    hostBytes: hostAdapterBytes ?? (engine.info.hostAdapterBytes || DEFAULT_HOST_ADAPTER_BYTES),
    roomWaitMillis: adapterWaitMillis,
    turnMillis: adapterTurnMillis,
  });
  await adapters.rescan();
  const admission = new Admission(engine.info.maxSequences + engine.info.maxQueue);
  const health = new WorkerHealth();
  const encoder = new PromptEncoder(tokenizer, options.model);
  const keys = new KeyRing();
  const gate = new Gate(keys, options.requireToken);
  const apiKey = await openApiKey(options.apiKey, options.apiKeyFile);
  const inference = new InferenceService({ gate, engine, encoder, adapters, admission, worker: identity });
  const services = { gate, inference, adapters: new AdapterService(adapters), health };
  const server = await startWorkerServer(listen, services, certificates.callers, log);
  const host = listen.slice(0, listen.lastIndexOf(":"));
  identity.name ||= `${hostname()}:${server.port}`;
  const reachable = host === "0.0.0.0" || host === "[::]" ? hostname() : host;
  const { weight, zone, advertise = `${reachable}:${server.port}` } = options;
  const member = {
    hello: makeHello({ identity, address: advertise, tls: certificates.callers !== undefined, weight, zone }, engine.info),
    adapters,
    log: new ResidencyLog(adapters),
    meter: new LoadMeter(engine, adapters),
    warmUp: new WarmUp({
      limitMillis: options.handOverMillis,
      load: async (adapter) => prefetch({ adapter, tier: Tier.DEVICE }, adapters, health, options),
    }),
    keys,
    prefetch: (wanted: PrefetchAdapter): void => void prefetch(wanted, adapters, health, options),
    drain: (reason: string): void => hooks.onDrainRequest?.(reason),
  };
  const routers = new Routers({
    targets: options.join,
    link: (address, host, failed) => new RouterLink({ address, host, apiKey, certificates, member, log, failed }),
    log,
    resolve: hooks.resolve,
  });
  const { drainMillis } = options;
  // Whoever wants the worker to end at once does not want it to wait for others either.
  const handOverMillis = Math.min(options.handOverMillis, drainMillis);
  const rescans = setInterval(() => void rescan(adapters, options), options.rescanMillis);
  const address = `${host}:${server.port}`;
  const { name } = identity;
  const drain = { drainMillis, handOverMillis };
  return new Worker({ name, address, engine, encoder, admission, health, server, certificates, routers, rescans, ...drain });
}

const NEVER = new AbortController().signal;

/** Loads an adapter that nobody waits for; a worker that drains neither begins to nor complains that its engine closed. */
async function prefetch(
  { adapter, tier }: PrefetchAdapter,
  adapters: AdapterStore,
  health: WorkerHealth,
  { log }: ResolvedOptions,
): Promise<void> {
  if (!adapter || health.draining) return;
  await adapters.load(adapter, tier, false, NEVER).catch((error: Error) => {
    if (!health.draining) log.warn("an adapter could not be prefetched", { adapter: adapter.id, reason: error.message });
  });
}

async function rescan(adapters: AdapterStore, { log }: ResolvedOptions): Promise<void> {
  await adapters.rescan().catch((error: Error) => log.warn("the adapter folders could not be read", { reason: error.message }));
}
