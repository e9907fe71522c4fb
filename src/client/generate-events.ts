import type { CallScope } from "./call-scope.js";
import { formatAdapterRef } from "./adapter-reference.js";
import { runAttempt } from "./attempt.js";
import type { PolygraftError } from "./error.js";
import { errorFromCall } from "./error-from-status.js";
import type { CallContext } from "./error-from-status.js";
import type { GenerationEvent } from "./events.js";
import { asciiHeader, callMetadata } from "./metadata.js";
import type { Headers } from "./metadata.js";
import type { GenerateOptions } from "./options.js";
import type { GenerateRequest } from "./request.js";
import { toProtoRequest } from "./request-to-proto.js";
import { retryDelayMs, sleep } from "./retry.js";
import type { RetryPolicy } from "./retry.js";
import { GenerationSpan } from "./tracing.js";
import type { Transport } from "./transport.js";
import { Watchdog } from "./watchdog.js";

/** All that a generation needs to run. */
export interface GenerationPlan {
  readonly transport: Transport;
  readonly request: GenerateRequest;
  readonly requestId: string;
  readonly options: GenerateOptions;
  readonly headers: readonly (Headers | undefined)[];
  readonly retry: RetryPolicy;
  readonly scope: CallScope;
}

/** Runs a generation with its retries. Every failure is a `PolygraftError`. */
export async function* generateEvents(plan: GenerationPlan): AsyncGenerator<GenerationEvent, void> {
  const { scope, transport } = plan;
  const watchdog = new Watchdog(scope, plan.options);
  const call: { -readonly [Key in keyof CallContext]: CallContext[Key] } = {
    address: transport.address.target,
    requestId: plan.requestId,
  };
  let span: GenerationSpan | undefined;
  try {
    const message = toProtoRequest(plan.request, plan.requestId);
    call.adapter = message.adapter && formatAdapterRef(message.adapter);
    span = new GenerationSpan(message, transport.address);
    const metadata = callMetadata([...plan.headers, asciiHeader("polygraft-adapter", call.adapter)], span.context);
    const { deadline, signal } = scope;
    for (let attempt = 1; ; attempt++) {
      const events = runAttempt(transport, message, { metadata, deadline, signal }, attempt);
      try {
        for (let next = await watchdog.next(events); next.done !== true; next = await watchdog.next(events)) {
          if (next.value.type === "accepted") call.worker = next.value.worker;
          span.record(next.value);
          yield next.value;
        }
        return;
      } catch (failure) {
        const error = errorFromCall(failure, call);
        await backOff(plan, watchdog, error, attempt - 1);
        span.retried(error);
      } finally {
        await events.return();
      }
    }
  } catch (failure) {
    const error = errorFromCall(failure, call);
    span?.failed(error);
    throw error;
  } finally {
    span?.end();
    scope.end();
  }
}

/** Waits until the request may be repeated, or throws the error if it may not. */
async function backOff(plan: GenerationPlan, watchdog: Watchdog, error: PolygraftError, retries: number): Promise<void> {
  const { scope, retry } = plan;
  if (watchdog.sawOutput || scope.signal.aborted) throw error;
  const delay = retryDelayMs(retry, error, retries, scope.deadline - Date.now(), Math.random());
  if (delay === undefined) throw error;
  await sleep(delay, scope.signal).catch(() => scope.signal.throwIfAborted());
}
