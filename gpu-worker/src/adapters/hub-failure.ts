import { HubApiError } from "@huggingface/hub";
import { Failure } from "../failure.js";

const RETRY_AFTER_MILLIS = 5000;

/** The hub answered a download with an error. */
export class HttpStatusError extends Error {
  override readonly name = "HttpStatusError";
  readonly statusCode: number;

  constructor(statusCode: number) {
    super(`status ${statusCode}`);
    this.statusCode = statusCode;
  }
}

/** A download came whole, but is not what the hub announced. */
export class CorruptDownload extends Error {
  override readonly name = "CorruptDownload";
}

/** Whether another try can help: not where the hub has answered, unless it is overloaded or broken. */
export function isTransient(error: unknown): boolean {
  if (error instanceof Failure) return false;
  const status = statusOf(error);
  return status === undefined || status === 408 || status === 429 || status >= 500;
}

/** What went wrong at the hub, as a failure. Neither the address nor the token of the hub is told. */
export function asHubFailure(repository: string, error: unknown): Failure {
  if (error instanceof Failure) return error;
  const options = { metadata: { adapter: `hf://${repository}` }, cause: error };
  const status = statusOf(error);
  if (status === 404) {
    return new Failure("ADAPTER_NOT_FOUND", `the hub has no repository ${repository}, or not that revision of it`, options);
  }
  if (status === 401 || status === 403) {
    const message = `the hub refuses ${repository} (status ${status}): it is private or does not exist; give the worker a token in HF_TOKEN`;
    return new Failure("ADAPTER_SOURCE_FORBIDDEN", message, options);
  }
  if (error instanceof CorruptDownload) return new Failure("ADAPTER_CORRUPT", `${repository}: ${error.message}`, options);
  const what = status === undefined ? describe(error) : `status ${status}`;
  return new Failure("ADAPTER_SOURCE_UNAVAILABLE", `the hub did not deliver ${repository}: ${what}`, {
    ...options,
    retryAfterMillis: RETRY_AFTER_MILLIS,
  });
}

function statusOf(error: unknown): number | undefined {
  return error instanceof HubApiError || error instanceof HttpStatusError ? error.statusCode : undefined;
}

/** fetch says only "fetch failed"; why stands in the cause. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
