import type { Metadata } from "@grpc/grpc-js";
import { GenerateRequest, GenerateResponse, InferenceServiceDefinition } from "@polygraft/api";
import { PolygraftError } from "./error.js";
import { eventFromProto } from "./event-from-proto.js";
import type { GenerationEvent, PlacementExplanation } from "./events.js";
import { placementFrom, weightsFrom } from "./response-headers.js";
import { method } from "./transport.js";
import type { Transport } from "./transport.js";

const generate = method<GenerateRequest, GenerateResponse>(
  InferenceServiceDefinition,
  InferenceServiceDefinition.methods.generate,
);

/** Where an attempt goes. */
export interface Leg {
  readonly transport: Transport;
  readonly metadata: Metadata;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
  /** Digest of the weights there, for a server that does not say so itself. */
  readonly weights?: string;
}

/**
 * One RPC as a stream of events. Leaving it cancels the RPC. Fails with what the call failed with.
 *
 * @param deadline milliseconds since the epoch; Infinity: none
 */
export async function* runAttempt(
  { transport, metadata, signal, weights: known }: Leg,
  request: GenerateRequest,
  deadline: number,
  attempt: number,
): AsyncGenerator<GenerationEvent, void> {
  let finished = false;
  let placement: PlacementExplanation | undefined;
  let weights = known;
  const onHeaders = (headers: Metadata): void => {
    placement = placementFrom(headers);
    weights = weightsFrom(headers) ?? known;
  };
  for await (const message of transport.serverStream(generate, request, { metadata, deadline, signal, onHeaders })) {
    const event = eventFromProto(message, attempt);
    if (event === undefined) continue;
    finished = event.type === "finished";
    yield event.type === "accepted" ? { ...event, ...(placement && { placement }), ...(weights && { weights }) } : event;
  }
  if (!finished) {
    throw new PolygraftError("the stream ended without its last event; the server or a proxy between broke it off", {
      code: "INCOMPLETE_STREAM",
      status: "INTERNAL",
    });
  }
}
