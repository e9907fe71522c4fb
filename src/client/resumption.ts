import type { Metadata } from "@grpc/grpc-js";
import { OnMiss } from "@polygraft/api";
import type { GenerateRequest } from "@polygraft/api";
import type { PolygraftError } from "./error.js";
import type { AcceptedEvent, GenerationEvent } from "./events.js";
import { mayRepeat } from "./retry.js";

/** Names the weights of a response; and in a request, the only ones that may serve it. */
export const weightsHeader = "polygraft-weights";

/**
 * Remembers what has arrived of a generation, to ask for the rest of it when its stream breaks off: with the same seed,
 * adapter content and weights the output goes on bit for bit.
 */
export class Resumption {
  readonly #request: GenerateRequest;
  #accepted: AcceptedEvent | undefined;
  readonly #tokenIds: number[] = [];
  #textBytes = 0;
  #sawOutput = false;
  /** Part of the output is of one adapter content and part of another: nobody could go on with it bit for bit. */
  #mixed = false;

  constructor(request: GenerateRequest) {
    this.#request = request;
  }

  /** Tokens that have arrived. */
  get tokens(): number {
    return this.#tokenIds.length;
  }

  /** Digest of the weights that they came from: nobody else may go on. Undefined: there are none, or no server has said. */
  get weights(): string | undefined {
    return this.tokens === 0 ? undefined : this.#accepted?.weights;
  }

  /** Says in the metadata of the next attempt which weights may serve it. */
  tell(metadata: Metadata): void {
    if (this.weights !== undefined) metadata.set(weightsHeader, this.weights);
  }

  /** Takes note of an event. False: the consumer has had one like it, and is not to see this one. */
  record(event: GenerationEvent): boolean {
    if (event.type === "accepted") {
      if (this.#sawOutput) return false;
      this.#accepted = event;
      return true;
    }
    this.#sawOutput = true;
    if (event.type === "adapter-changed") this.#mixed = true;
    if (event.type !== "delta") return true;
    for (const token of event.tokenIds) this.#tokenIds.push(token);
    this.#textBytes += Buffer.byteLength(event.text);
    return true;
  }

  /** What to send after a failure: all anew if nothing has arrived, else what asks for the rest. Undefined: nothing can. */
  next(failure: PolygraftError): GenerateRequest | undefined {
    if (!this.#sawOutput) return this.#request;
    const { routing, response } = this.#request;
    if (this.#mixed || routing?.failover === false || response?.tokenIds === false) return undefined;
    if (!mayRepeat(failure)) return undefined;
    // Before the first token only scores of the prompt have come, and they would come again.
    if (this.#accepted === undefined || this.#tokenIds.length === 0) return undefined;
    return this.#rest(this.#accepted);
  }

  #rest({ seed, adapter, fellBackToBase }: AcceptedEvent): GenerateRequest {
    const request = this.#request;
    const { tokenIds = [], textBytes = 0 } = request.resume ?? {};
    const rest: GenerateRequest = {
      ...request,
      sampling: { ...request.sampling!, seed },
      onMiss: OnMiss.WAIT,
      resume: { tokenIds: [...tokenIds, ...this.#tokenIds], textBytes: textBytes + this.#textBytes },
    };
    if (fellBackToBase) rest.adapter = undefined;
    else if (request.adapter !== undefined && adapter !== undefined) rest.adapter = { ...request.adapter, digest: adapter.digest };
    return rest;
  }
}
