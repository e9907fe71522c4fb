import { homedir } from "node:os";
import { basename, join, resolve } from "node:path";
import type { WorkerCertificates } from "./certificates.js";
import { jsonLog } from "./log.js";
import type { EngineOptions, ResolvedOptions, WorkerOptions } from "./options.js";

const GIB = 1024 ** 3;

/**
 * Fills in the defaults.
 * @throws RangeError naming the option that is out of its range.
 */
export function resolveOptions(options: WorkerOptions): ResolvedOptions {
  const { name, allowHub = false, adapters = [], weight = 1, advertise, listen = "127.0.0.1:0" } = options;
  check(name === undefined || /^[A-Za-z0-9._:-]{1,128}$/.test(name), "name", "1 to 128 letters, digits, '.', '_', '-' or ':'");
  check(weight > 0 && Number.isFinite(weight), "weight", "above 0 and finite");
  return {
    engine: engineOptions(options),
    model: options.model,
    modelName: options.modelName ?? basename(resolve(options.model)).replace(/\.gguf$/, ""),
    name,
    listen: hostPort("listen", listen, 0),
    advertise: advertise && hostPort("advertise", advertise, 1),
    join: (options.join ?? []).map((address) => routerAddress(address, options)),
    apiKey: options.apiKey,
    apiKeyFile: options.apiKeyFile,
    requireToken: options.requireToken,
    certificates: certificatesOf(options),
    weight,
    zone: options.zone ?? "",
    adapters: typeof adapters === "string" ? [adapters] : adapters,
    cacheDir: options.cacheDir ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "polygraft"),
    hostAdapterBytes: options.hostAdapterBytes && atLeast("hostAdapterBytes", options.hostAdapterBytes, 0),
    allowHub: allowHub === false ? undefined : allowHub,
    hubUrl: options.hubUrl?.replace(/\/+$/, ""),
    hubToken: options.hubToken,
    hubCacheBytes: atLeast("hubCacheBytes", options.hubCacheBytes ?? 20 * GIB, 0),
    adapterWaitMillis: 1000 * atLeast("adapterWaitSeconds", options.adapterWaitSeconds ?? 10, 0),
    adapterTurnMillis: 1000 * atLeast("adapterTurnSeconds", options.adapterTurnSeconds ?? 1, 0),
    rescanMillis: 1000 * atLeast("rescanSeconds", options.rescanSeconds ?? 30, 1),
    handOverMillis: 1000 * atLeast("handOverSeconds", options.handOverSeconds ?? 10, 0),
    drainMillis: 1000 * atLeast("drainSeconds", options.drainSeconds ?? 30, 0),
    log: options.log ?? jsonLog((line) => process.stderr.write(line)),
  };
}

function certificatesOf({ tlsCert, tlsKey, tlsClientCa, routerCa, routerTlsName }: WorkerOptions): WorkerCertificates {
  return { tlsCert, tlsKey, tlsClientCa, routerCa, routerTlsName };
}

/** Who names an authority for routers must not greet them in the clear by mistake. */
function routerAddress(address: string, { routerCa }: WorkerOptions): string {
  const tls = address.startsWith("https://");
  check(tls || routerCa === undefined, "join", `"https://host:port" where routerCa is given, not ${JSON.stringify(address)}`);
  hostPort("join", address.replace(/^https?:\/\//, ""), 1);
  return address;
}

const ENGINE_KEYS = [
  "scheme", "activations", "kvType", "adapterType", "group", "headBits", "isa", "threads", "maxContext", "maxSequences",
  "maxStepTokens", "maxPrefillTokens", "maxQueue", "kvBytes", "adapterBytes", "memoryBytes",
  "hostAdapterBytes", "prefixCache",
] as const satisfies readonly (keyof EngineOptions)[]; // prettier-ignore

function engineOptions(options: WorkerOptions): EngineOptions {
  return Object.fromEntries(ENGINE_KEYS.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]));
}

function hostPort(option: string, address: string, lowest: number): string {
  const port = Number(/^(?:\[[0-9A-Fa-f:.]+\]|[^:]+):(\d{1,5})$/.exec(address)?.[1] ?? Number.NaN);
  check(port >= lowest && port <= 65_535, option, `"host:port", not ${JSON.stringify(address)}`);
  return address;
}

function atLeast(option: string, value: number, least: number): number {
  check(value >= least, option, `at least ${least}`);
  return value;
}

function check(ok: boolean, option: string, allowed: string): void {
  if (!ok) throw new RangeError(`the option ${option} must be ${allowed}`);
}
