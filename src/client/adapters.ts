import { AdapterServiceDefinition, AdapterSwap, Tier as ProtoTier } from "@polygraft/api";
import type { Adapter as ProtoAdapter, AdapterRef } from "@polygraft/api";
import { formatAdapterRef, toAdapterRef } from "./adapter-reference.js";
import type { Calls } from "./calls.js";
import { PolygraftError } from "./error.js";
import { tierFromProto } from "./event-from-proto.js";
import type { AdapterIdentity, Tier } from "./events.js";
import type { CallOptions } from "./options.js";
import type { AdapterReference } from "./request.js";
import { method } from "./transport.js";
import type { Method } from "./transport.js";

/** An adapter and where it is. */
export interface Adapter {
  readonly identity: AdapterIdentity;
  /** Name of the base model it was made for, as its config says. */
  readonly baseModel: string;
  /** Largest rank among its modules. */
  readonly rank: number;
  /** Projections it changes, such as "q_proj". */
  readonly targetModules: readonly string[];
  /** Bytes on the device. */
  readonly bytes: bigint;
  /** Where it comes from. */
  readonly source: string;
  /** Where it is, by worker. */
  readonly residency: readonly Residency[];
  /** Why it cannot be served. Absent if it can. */
  readonly error?: string;
}

/** An adapter on one worker. */
export interface Residency {
  readonly worker: string;
  readonly tier: Tier | undefined;
  /** Kept on the device. */
  readonly pinned: boolean;
  /** Running and waiting requests that use it. */
  readonly references: number;
  /** Milliseconds that its last load took. */
  readonly loadMs: number;
}

/** Which adapters to list. */
export interface ListAdaptersOptions extends CallOptions {
  /** Only ids that begin with this. */
  readonly prefix?: string;
}

/** How far to load an adapter. */
export interface LoadAdapterOptions extends CallOptions {
  /** Default: "device". */
  readonly tier?: Exclude<Tier, "source">;
  /** Keeps it there. Default: false. */
  readonly pin?: boolean;
  /**
   * What streams do that run with an earlier content of this name: "drain" keeps what they have to their ends, "in-place"
   * moves them to the new content from their next token on; they hear so in an "adapter-changed" event. Streams whose
   * request names a revision or a digest keep it. "in-place" is for names without revision, and the tier "device".
   * Default: "drain".
   */
  readonly swap?: "drain" | "in-place";
}

const { methods } = AdapterServiceDefinition;
const list = method(AdapterServiceDefinition, methods.listAdapters);
const get = method(AdapterServiceDefinition, methods.getAdapter);
const load = method(AdapterServiceDefinition, methods.loadAdapter);
const unload = method(AdapterServiceDefinition, methods.unloadAdapter);
const pin = method(AdapterServiceDefinition, methods.pinAdapter);

const protoTiers = { device: ProtoTier.DEVICE, host: ProtoTier.HOST, disk: ProtoTier.DISK } as const;

const protoSwaps = { drain: AdapterSwap.DRAIN, "in-place": AdapterSwap.IN_PLACE } as const;

/** The adapters of a fleet or, when connected to one, of a worker. */
export class Adapters {
  readonly #calls: Calls;

  /** Made by `Polygraft`. */
  constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** All adapters in the order of their ids, fetched page by page. The options hold for each page. */
  async *list({ prefix = "", ...options }: ListAdaptersOptions = {}): AsyncGenerator<Adapter, void> {
    let pageToken = "";
    do {
      const page = await this.#calls.unary(list, { pageSize: 0, pageToken, prefix }, options);
      for (const adapter of page.adapters) yield fromProto(adapter);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** One adapter. Rejects with "ADAPTER_NOT_FOUND" if there is none of that name. */
  get(adapter: string | AdapterReference, options: CallOptions = {}): Promise<Adapter> {
    const ref = toAdapterRef(adapter);
    return this.#ask(get, { adapter: ref }, ref, options);
  }

  /** Brings an adapter closer to the device, ahead of its first request. */
  load(adapter: string | AdapterReference, options: LoadAdapterOptions = {}): Promise<Adapter> {
    const { tier = "device", pin: keep = false, swap = "drain", ...call } = options;
    const ref = toAdapterRef(adapter);
    return this.#ask(load, { adapter: ref, tier: protoTiers[tier], pin: keep, swap: protoSwaps[swap] }, ref, call);
  }

  /** Takes an adapter off device and host memory. Streams that use it finish first. */
  unload(adapter: string | AdapterReference, options: CallOptions = {}): Promise<Adapter> {
    const ref = toAdapterRef(adapter);
    return this.#ask(unload, { adapter: ref }, ref, options);
  }

  /** Keeps an adapter on the device, or with `false` lets it go again. */
  pin(adapter: string | AdapterReference, pinned = true, options: CallOptions = {}): Promise<Adapter> {
    const ref = toAdapterRef(adapter);
    return this.#ask(pin, { adapter: ref, pinned }, ref, options);
  }

  async #ask<Request>(
    rpc: Method<Request, { adapter: ProtoAdapter | undefined }>,
    request: Request,
    ref: AdapterRef,
    options: CallOptions,
  ): Promise<Adapter> {
    const name = formatAdapterRef(ref);
    const { adapter } = await this.#calls.unary(rpc, request, options, name);
    if (adapter !== undefined) return fromProto(adapter);
    throw new PolygraftError("the server answered without an adapter", { code: "INTERNAL", status: "INTERNAL", adapter: name });
  }
}

/** Turns an adapter of the contract into the SDK's form. */
export function fromProto(adapter: ProtoAdapter): Adapter {
  const { error, identity, residency, ...rest } = adapter;
  return {
    ...rest,
    identity: identity ?? { id: "", revision: "", digest: "" },
    residency: residency.map(({ tier, loadMicros, ...place }) => ({ ...place, tier: tierFromProto(tier), loadMs: loadMicros / 1000 })),
    ...(error === "" ? {} : { error }),
  };
}
