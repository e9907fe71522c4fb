import type { CallContext } from "nice-grpc-common";
import { Failure } from "../failure.js";

/** Names the weights of an answer; and in a request, the only ones that may serve it. */
const weightsHeader = "polygraft-weights";

/** Most characters of a header that are repeated in a message. */
const MAX_SHOWN = 128;

/**
 * Says that weights of this digest answer. Throws if the request goes on from output of others: routers send none such, but
 * whoever calls this address may have meant the process that was here before.
 */
export function answerWith(digest: string, { header, metadata }: Pick<CallContext, "header" | "metadata">): void {
  header.set(weightsHeader, digest);
  const wanted = metadata.get(weightsHeader);
  if (wanted === undefined || wanted === digest) return;
  const message = `the output so far came from the weights ${wanted.slice(0, MAX_SHOWN)}; this worker serves ${digest} and would go on differently`;
  throw new Failure("NO_WORKER", message, { metadata: { weights: wanted.slice(0, MAX_SHOWN) } });
}
