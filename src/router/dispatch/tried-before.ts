import type { IncomingHttpHeaders } from "node:http2";
import { invalidField } from "../failure.js";
import type { Failure } from "../failure.js";
import { isDigest } from "../fleet/hello.js";
import { single } from "../relay/headers.js";

/** What became of a request before it came here, as its client says. */
export interface TriedBefore {
  /** Times that it was sent to a worker since its last output. */
  readonly attempts: number;
  /** Workers that have failed it: avoided while there are others. */
  readonly workers: ReadonlySet<string>;
  /** Digest of the weights that its output so far came from: only workers of these may go on. Absent: any may. */
  readonly weights?: string;
}

/** As gRPC names it (gRFC A6). */
const attemptsHeader = "grpc-previous-rpc-attempts";
const triedHeader = "polygraft-tried";
export const weightsHeader = "polygraft-weights";

/** Most workers that are heeded. */
const maxWorkers = 8;

/**
 * Reads what a client tells, and what `triedHeaders` has told it. What is no number, and no name, is not heeded: that costs
 * no more than a try. What is no digest is refused, because to go on with any weights would make another output.
 */
export function readTriedBefore(headers: IncomingHttpHeaders): TriedBefore | Failure {
  const weights = single(headers, weightsHeader);
  if (weights !== undefined && !isDigest(weights)) {
    return invalidField(weightsHeader, 'must be "sha256:" and 64 hexadecimal digits, as in the header of the response that is to be resumed');
  }
  const attempts = single(headers, attemptsHeader) ?? "";
  const names = (single(headers, triedHeader) ?? "").split(",", maxWorkers);
  return {
    attempts: /^[0-9]{1,4}$/.test(attempts) ? Number(attempts) : 0,
    workers: new Set(names.map((name) => name.trim()).filter((name) => /^[A-Za-z0-9._:-]{1,128}$/.test(name))),
    ...(weights === undefined ? {} : { weights }),
  };
}

/** What a client is told with a failure, so that its own repetitions count with the router's and go elsewhere. */
export function triedHeaders(attempts: number, workers: readonly string[]): Readonly<Record<string, string>> {
  const names = [...new Set(workers)].slice(-maxWorkers).join(",");
  return { "polygraft-attempts": String(attempts), ...(names === "" ? {} : { [triedHeader]: names }) };
}
