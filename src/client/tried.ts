import type { Metadata } from "@grpc/grpc-js";
import type { PolygraftError } from "./error.js";

/** Most workers that are named to a router. */
const maxWorkers = 8;

/**
 * Where a generation has been since its last output. Routers are told, and tell how often they have tried themselves, so
 * that a request is tried so many times in all, and not so many times by each.
 */
export class Tried {
  #attempts = 0;
  readonly #workers = new Set<string>();

  /** The stream has come forward: what was tried before counts no more, but those who failed it are avoided. */
  progressed(): void {
    this.#attempts = 0;
  }

  /** Takes note of a failed attempt. Returns how many attempts at workers there were in it, at least 1. */
  failed(failure: unknown, error: PolygraftError): number {
    const trailers = trailersOf(failure);
    const said = Number(trailers?.get("polygraft-attempts")[0]);
    const attempts = Number.isSafeInteger(said) && said >= 1 ? said : 1;
    this.#attempts += attempts;
    const named = String(trailers?.get("polygraft-tried")[0] ?? "").split(",");
    for (const worker of [...named, error.worker ?? ""]) if (worker !== "") this.#workers.add(worker);
    return attempts;
  }

  /** Says so in the metadata of the next attempt. */
  tell(metadata: Metadata): void {
    if (this.#attempts > 0) metadata.set("grpc-previous-rpc-attempts", String(this.#attempts));
    else metadata.remove("grpc-previous-rpc-attempts");
    if (this.#workers.size > 0) metadata.set("polygraft-tried", [...this.#workers].slice(-maxWorkers).join(","));
  }
}

function trailersOf(failure: unknown): Metadata | undefined {
  if (!(failure instanceof Error) || !("metadata" in failure)) return undefined;
  const { metadata } = failure;
  return typeof metadata === "object" && metadata !== null && "get" in metadata ? (metadata as Metadata) : undefined;
}
