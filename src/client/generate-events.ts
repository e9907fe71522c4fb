import type { CallScope } from "./call-scope.js";
import type { Direct } from "./direct/direct.js";
import { isOutOfReach } from "./direct/direct-route.js";
import type { DirectRoute } from "./direct/direct-route.js";
import { formatAdapterRef } from "./adapter-reference.js";
import { runAttempt } from "./attempt.js";
import type { Leg } from "./attempt.js";
import type { PolygraftError } from "./error.js";
import { errorFromCall } from "./error-from-status.js";
import type { CallContext } from "./error-from-status.js";
import type { GenerationEvent } from "./events.js";
import { asciiHeader, callMetadata } from "./metadata.js";
import type { Headers } from "./metadata.js";
import type { GenerateOptions } from "./options.js";
import type { GenerateRequest } from "./request.js";
import { toProtoRequest } from "./request-to-proto.js";
import { Resumption } from "./resumption.js";
import { retryDelayMs, sleep } from "./retry.js";
import type { RetryBudget } from "@polygraft/placement";
import type { RetryPolicy } from "./retry.js";
import { GenerationSpan } from "./tracing.js";
import type { Transports } from "./transports.js";
import { Tried } from "./tried.js";
import { Watchdog } from "./watchdog.js";

/** All that a generation needs to run. */
export interface GenerationPlan {
  readonly transports: Transports;
  /** Absent: everything goes through the routers. */
  readonly direct: Direct | undefined;
  readonly request: GenerateRequest;
  readonly requestId: string;
  readonly options: GenerateOptions;
  readonly headers: readonly (Headers | undefined)[];
  readonly retry: RetryPolicy;
  /** Of all generations of the client together. */
  readonly retries: RetryBudget;
  readonly scope: CallScope;
}

/**
 * Runs a generation with its retries. After output a retry asks for the rest, so that the consumer sees one stream.
 * Every failure is a `PolygraftError`.
 */
export async function* generateEvents(plan: GenerationPlan): AsyncGenerator<GenerationEvent, void> {
  const { scope, transports } = plan;
  const watchdog = new Watchdog(scope, plan.options);
  const call: { -readonly [Key in keyof CallContext]: CallContext[Key] } = {
    address: transports.current.address.target,
    requestId: plan.requestId,
  };
  let span: GenerationSpan | undefined;
  let route: DirectRoute | undefined;
  try {
    const message = toProtoRequest(plan.request, plan.requestId);
    call.adapter = message.adapter && formatAdapterRef(message.adapter);
    span = new GenerationSpan(message, transports.current.address);
    const headers = [...plan.headers, asciiHeader("polygraft-adapter", call.adapter)];
    const metadata = callMetadata(headers, span.context);
    route = plan.direct?.route(message, headers);
    const { deadline, signal } = scope;
    const resumption = new Resumption(message);
    let next: typeof message = message;
    const tried = new Tried();
    let retries = 0;
    for (let attempt = 1; ; attempt++) {
      const tokensBefore = resumption.tokens;
      const direct = route && (await watchdog.during(route.next(resumption, { deadline, signal, trace: span.context })));
      tried.tell(metadata);
      const leg: Leg = direct ?? { transport: transports.current, metadata, signal };
      resumption.tell(leg.metadata);
      const { transport } = leg;
      call.address = transport.address.target;
      if (direct !== undefined) call.worker = direct.worker;
      const events = runAttempt(leg, next, deadline, attempt);
      let heard = false;
      try {
        for (let it = await watchdog.next(events); it.done !== true; it = await watchdog.next(events)) {
          heard = true;
          if (it.value.type === "accepted") call.worker = it.value.worker;
          if (!resumption.record(it.value)) continue;
          span.record(it.value);
          yield it.value;
        }
        route?.finished();
        plan.retries.deposit();
        return;
      } catch (failure) {
        const error = errorFromCall(failure, call);
        if (signal.aborted) throw error;
        transports.turnFrom(transport, error);
        const again = resumption.next(error);
        if (again === undefined) throw error;
        // Whoever has brought the stream forward has not wasted a try.
        const progressed = resumption.tokens > tokensBefore;
        if (progressed) tried.progressed();
        const attempts = direct !== undefined && isOutOfReach(error, heard) ? 1 : tried.failed(failure, error);
        if (route?.movesOn(error, heard) !== true) {
          if (progressed) retries = 0;
          else retries += attempts - 1;
          await backOff(plan, error, retries++, progressed);
        }
        next = again;
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
    route?.end();
    span?.end();
    scope.end();
  }
}

/** Waits until the request may be repeated, or throws the error if it may not. */
async function backOff(plan: GenerationPlan, error: PolygraftError, retries: number, progressed: boolean): Promise<void> {
  const { scope, retry } = plan;
  const delay = retryDelayMs(retry, error, retries, scope.deadline - Date.now(), Math.random());
  if (delay === undefined || !(progressed || plan.retries.withdraw())) throw error;
  await sleep(delay, scope.signal).catch(() => scope.signal.throwIfAborted());
}
