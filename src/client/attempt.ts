import type { Metadata } from "@grpc/grpc-js";
import { GenerateRequest, GenerateResponse, InferenceServiceDefinition } from "@polygraft/api";
import { PolygraftError } from "./error.js";
import { eventFromProto } from "./event-from-proto.js";
import type { GenerationEvent, PlacementExplanation } from "./events.js";
import { placementFrom } from "./placement-from-headers.js";
import { method } from "./transport.js";
import type { RpcOptions, Transport } from "./transport.js";

const generate = method<GenerateRequest, GenerateResponse>(
  InferenceServiceDefinition,
  InferenceServiceDefinition.methods.generate,
);

/** One RPC as a stream of events. Leaving it cancels the RPC. Fails with what the call failed with. */
export async function* runAttempt(
  transport: Transport,
  request: GenerateRequest,
  rpc: RpcOptions,
  attempt: number,
): AsyncGenerator<GenerationEvent, void> {
  let finished = false;
  let placement: PlacementExplanation | undefined;
  const onHeaders = (headers: Metadata): void => void (placement = placementFrom(headers));
  for await (const message of transport.serverStream(generate, request, { ...rpc, onHeaders })) {
    const event = eventFromProto(message, attempt);
    if (event === undefined) continue;
    finished = event.type === "finished";
    yield event.type === "accepted" && placement !== undefined ? { ...event, placement } : event;
  }
  if (!finished) {
    throw new PolygraftError("the stream ended without its last event; the server or a proxy between broke it off", {
      code: "INCOMPLETE_STREAM",
      status: "INTERNAL",
    });
  }
}
