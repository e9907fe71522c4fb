import { AdapterSwap } from "@polygraft/api";
import type { Adapter, AdapterRef, AdapterServiceClient, AdapterServiceImplementation } from "@polygraft/api";
import { adapterKey, place } from "@polygraft/placement";
import { Metadata, Status } from "nice-grpc";
import type { CallContext } from "nice-grpc";
import type { TokenIssuer } from "../access/token-issuer.js";
import type { Candidates } from "../dispatch/candidates.js";
import { noWorker } from "../dispatch/candidates.js";
import { invalidField, isFailure, serverError } from "../failure.js";
import type { Failure } from "../failure.js";
import type { FleetMember } from "../fleet/member.js";
import type { Catalog } from "../catalog/catalog.js";
import { mergedAdapters, mergeResidency } from "../catalog/merge.js";
import { listPage } from "../catalog/page.js";
import { passedOnError } from "./worker-clients.js";
import type { WorkerClients } from "./worker-clients.js";

/** What the adapter service works with. */
export interface AdapterServiceParts {
  readonly catalog: Catalog;
  readonly candidates: Candidates;
  readonly workers: WorkerClients;
  /** Has workers take the router's calls. */
  readonly tokens: TokenIssuer;
}

/** A worker's answer to something asked of it. */
type Ask = (client: AdapterServiceClient, options: { signal: AbortSignal; metadata: Metadata }) => Promise<{ adapter?: Adapter | undefined }>;

/**
 * The adapter service of a router: it lists and describes from the catalog, and passes on what is to be done. Loading
 * and pinning go to the worker that the adapter's hash prefers; unloading, letting go and swaps in place to all that know
 * it.
 */
export class RouterAdapterService implements AdapterServiceImplementation {
  readonly #parts: AdapterServiceParts;

  constructor(parts: AdapterServiceParts) {
    this.#parts = parts;
  }

  async listAdapters(request: Parameters<AdapterServiceImplementation["listAdapters"]>[0]) {
    return orThrow(listPage(this.#parts.catalog, request));
  }

  /** An adapter that nobody has announced is asked for at its preferred worker: it may have appeared there just now. */
  async getAdapter({ adapter }: { readonly adapter?: AdapterRef | undefined }, context: CallContext) {
    const ref = orThrow(checkRef(adapter));
    const known = this.#find(ref);
    if (known !== undefined) return { adapter: orThrow(checkDigest(known, ref)) };
    const [worker] = orThrow(this.#preferred(ref));
    const answer = await this.#ask([worker], context, (client, options) => client.getAdapter({ adapter: ref }, options));
    return { adapter: answer };
  }

  async loadAdapter(request: Parameters<AdapterServiceImplementation["loadAdapter"]>[0], context: CallContext) {
    const ref = orThrow(checkRef(request.adapter));
    const preferred = orThrow(this.#preferred(ref));
    // Streams of an earlier content can run wherever the adapter is known.
    const all = request.swap === AdapterSwap.IN_PLACE ? new Set([...preferred, ...(this.#holders(ref) ?? [])]) : preferred;
    return { adapter: await this.#ask([...all], context, (client, options) => client.loadAdapter(request, options)) };
  }

  async unloadAdapter(request: Parameters<AdapterServiceImplementation["unloadAdapter"]>[0], context: CallContext) {
    const ref = orThrow(checkRef(request.adapter));
    const workers = this.#holders(ref) ?? orThrow(this.#preferred(ref));
    return { adapter: await this.#ask(workers, context, (client, options) => client.unloadAdapter(request, options)) };
  }

  async pinAdapter(request: Parameters<AdapterServiceImplementation["pinAdapter"]>[0], context: CallContext) {
    const ref = orThrow(checkRef(request.adapter));
    const all = request.pinned ? undefined : this.#holders(ref);
    const workers = all ?? orThrow(this.#preferred(ref));
    return { adapter: await this.#ask(workers, context, (client, options) => client.pinAdapter(request, options)) };
  }

  /** The announced adapter that a reference means; of several contents the one that most workers hold. */
  #find(ref: AdapterRef): Adapter | undefined {
    const entry = this.#parts.catalog.get(ref.id);
    if (entry === undefined) return undefined;
    const matching = mergedAdapters(entry).filter(
      ({ identity }) => ref.revision === "" || identity?.revision === ref.revision,
    );
    const exact = matching.find(({ identity }) => identity?.digest === ref.digest);
    if (ref.digest !== "" && exact !== undefined) return exact;
    return matching.sort((a, b) => b.residency.length - a.residency.length)[0];
  }

  #holders(ref: AdapterRef): FleetMember[] | undefined {
    const names = this.#parts.catalog.get(ref.id)?.holders;
    if (names === undefined) return undefined;
    return [...names].map((name) => this.#parts.candidates.member(name)).filter((member) => member !== undefined);
  }

  #preferred(ref: AdapterRef): [FleetMember] | Failure {
    const found = this.#parts.candidates.find("", ref);
    if (isFailure(found)) return found;
    const { fleet, ...request } = found;
    const placement = place(fleet, { ...request, key: adapterKey(ref) }, this.#parts.candidates.policy);
    const member = placement === undefined ? undefined : this.#parts.candidates.member(placement.worker);
    return member === undefined ? noWorker("no worker could take the adapter") : [member];
  }

  /** Asks all of these workers; the adapter with what the catalog knows and what each has answered. */
  async #ask(workers: readonly FleetMember[], context: CallContext, ask: Ask): Promise<Adapter> {
    const { signal } = context;
    const metadata = Metadata({ authorization: this.#parts.tokens.authorization });
    const answers = await Promise.allSettled(
      workers.map(async (worker) => {
        const { adapter } = await ask(this.#parts.workers.get(worker.address), { signal, metadata });
        if (adapter === undefined) throw serverError(emptyAnswer(worker.name));
        return { worker: worker.name, adapter };
      }),
    );
    let merged: Adapter | undefined;
    for (const answer of answers) {
      if (answer.status === "rejected") throw passedOnError(answer.reason);
      const { worker, adapter } = answer.value;
      merged = mergeResidency(merged ?? this.#known(adapter), worker, adapter);
    }
    if (merged === undefined) throw serverError(noWorker("no worker holds the adapter"));
    return merged;
  }

  /** A worker's description of an adapter, with the other workers' residency. */
  #known(adapter: Adapter): Adapter {
    const known = adapter.identity === undefined ? undefined : this.#find(adapter.identity);
    return { ...adapter, residency: known?.residency ?? [] };
  }
}

function orThrow<T extends object>(value: T | Failure): T {
  if (isFailure(value)) throw serverError(value);
  return value;
}

function checkRef(ref: AdapterRef | undefined): AdapterRef | Failure {
  if (ref === undefined || ref.id === "") return invalidField("adapter.id", "must not be empty");
  if (Buffer.byteLength(ref.id) > 512) return invalidField("adapter.id", "must have at most 512 bytes");
  return ref;
}

function checkDigest(adapter: Adapter, ref: AdapterRef): Adapter | Failure {
  const found = adapter.identity?.digest ?? "";
  if (ref.digest === "" || found === "" || found === ref.digest) return adapter;
  return {
    status: Status.FAILED_PRECONDITION,
    reason: "ADAPTER_DIGEST_MISMATCH",
    message: `adapter "${ref.id}" has the digest ${found}, not ${ref.digest}`,
  };
}

function emptyAnswer(worker: string): Failure {
  return { status: Status.INTERNAL, reason: "INTERNAL", message: `worker "${worker}" answered without an adapter` };
}
