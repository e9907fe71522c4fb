import { randomUUID } from "node:crypto";
import { AdapterServiceDefinition, DirectServiceDefinition, FleetServiceDefinition, InferenceServiceDefinition } from "@polygraft/api";
import { Status } from "nice-grpc";
import { HealthDefinition } from "nice-grpc-server-health";
import { callerHeaders } from "../access/caller-headers.js";
import type { RetryBudget } from "@polygraft/placement";
import type { TokenHolder, TokenIssuer } from "../access/token-issuer.js";
import type { ApiKeys } from "../admission/api-keys.js";
import type { Place } from "../admission/admission.js";
import type { ModelAdmission } from "../admission/model-admission.js";
import type { ReadingLimit } from "../admission/reading-limit.js";
import { isFailure } from "../failure.js";
import type { Failure } from "../failure.js";
import { single } from "../relay/headers.js";
import type { CallHead, CallPolicy, Dispatch, Outcome, Reception, Route, Target, Waiter } from "../relay/relay.js";
import type { Log } from "../log.js";
import type { Breakers } from "./breakers.js";
import type { Candidates } from "./candidates.js";
import { GenerateRoute } from "./generate-route.js";
import { checkRequestHead, readRequestHead, requestIdField, tenantField } from "./request-head.js";
import type { RequestHead } from "./request-head.js";
import { RequestSpan } from "./request-span.js";
import { readTriedBefore } from "./tried-before.js";
import type { TriedBefore } from "./tried-before.js";

/** What the policy decides with. */
export interface RouterPolicyParts {
  readonly candidates: Candidates;
  /** The router's own services. */
  readonly control: Target;
  /** Bounds generations that are being read. */
  readonly reading: ReadingLimit;
  /** Bounds those that run and those that wait, and says which of them run. */
  readonly admission: ModelAdmission;
  readonly breakers: Breakers;
  /** Bounds how many generations are sent to another worker, of all clients together. */
  readonly retries: RetryBudget;
  /** Has workers take the router's calls. */
  readonly tokens: TokenIssuer;
  /** Absent: everybody is welcome. */
  readonly apiKeys?: ApiKeys;
  readonly log: Log;
}

const generatePath = `/${InferenceServiceDefinition.fullName}/${InferenceServiceDefinition.methods.generate.name}`;

/** Service of the reflection protocol, which comes without a typed name. */
export const reflectionService = "grpc.reflection.v1.ServerReflection";

/** Services that tell nothing worth guarding, and that probes and tools call without a key. */
const openServices = new Set<string>([HealthDefinition.fullName, reflectionService]);

/** Services that the router itself answers. */
const ownServices = new Set<string>([
  ...openServices,
  AdapterServiceDefinition.fullName,
  FleetServiceDefinition.fullName,
  DirectServiceDefinition.fullName,
]);

/** First byte of a `GenerateResponse` whose event is `accepted`: field 1, length-delimited. */
const acceptedTag = 0x0a;

/** The router's answer to where a call goes: generations to workers, everything else to its own services. */
export class RouterPolicy implements CallPolicy {
  readonly #parts: RouterPolicyParts;
  #draining = false;

  constructor(parts: RouterPolicyParts) {
    this.#parts = parts;
  }

  /** Refuses new calls from now on. */
  drain(): void {
    this.#draining = true;
  }

  receive(call: CallHead): Reception {
    const service = call.path.slice(1, call.path.lastIndexOf("/"));
    const { apiKeys, control } = this.#parts;
    if (!openServices.has(service)) {
      const failure = this.#draining ? draining : apiKeys?.refuse(single(call.headers, "authorization"));
      if (failure !== undefined) return { kind: "refuse", failure };
    }
    if (call.path === generatePath) return this.#generate(call);
    if (ownServices.has(service)) return { kind: "pass", target: control, headers: callerHeaders(callerOf(call, apiKeys), call) };
    return { kind: "refuse", failure: unknownMethod(call.path) };
  }

  #generate(call: CallHead): Reception {
    const before = readTriedBefore(call.headers);
    if (isFailure(before)) return { kind: "refuse", failure: before };
    const failure = this.#parts.reading.enter();
    if (failure !== undefined) return { kind: "refuse", failure };
    return new GenerateDispatch(call, before, this.#parts);
  }
}

/** One generation on its way through the router. */
class GenerateDispatch implements Dispatch {
  readonly kind = "dispatch";
  readonly preambleTag = acceptedTag;
  readonly #parts: RouterPolicyParts;
  readonly #before: TriedBefore;
  readonly #span: RequestSpan;
  #route: GenerateRoute | undefined;
  #requestId = "";
  readonly #caller: TokenHolder;
  #head: RequestHead | undefined;
  #place: Place | undefined;
  #outcome: Outcome | undefined;
  #isRead = false;

  constructor(call: CallHead, before: TriedBefore, parts: RouterPolicyParts) {
    this.#caller = callerOf(call, parts.apiKeys);
    this.#parts = parts;
    this.#span = new RequestSpan(call.headers);
    this.#before = before;
  }

  route(message: Buffer): Route | Failure {
    const head = readRequestHead(message);
    const failure = checkRequestHead(head);
    if (failure !== undefined) return failure;
    const requestId = head.requestId === "" ? randomUUID() : head.requestId;
    this.#requestId = requestId;
    this.#span.describe(head, requestId);
    const { tenant } = this.#caller;
    const appended = Buffer.concat([
      ...(head.requestId === "" ? [requestIdField(requestId)] : []),
      ...(tenant === undefined ? [] : [tenantField(head.qos, tenant)]),
    ]);
    const { candidates, breakers, retries, tokens } = this.#parts;
    const sent = { appended, headers: { ...this.#span.headers(), authorization: tokens.authorization } };
    this.#head = head;
    this.#route = new GenerateRoute({ ...head, requestId }, candidates, breakers, retries, this.#before, sent);
    return this.#route;
  }

  admit(waiter: Waiter): void {
    this.#stopReading();
    const { qos, tokens = 0 } = this.#head ?? {};
    const model = this.#route?.model;
    // Nobody could serve it: it is told so at once.
    if (model === undefined) return waiter.granted();
    const place = this.#parts.admission.of(model).apply({
      client: this.#caller.client,
      priority: qos?.priority ?? 0,
      tokens,
      ...(qos?.ttftTargetMillis === undefined ? {} : { firstTokenMillis: qos.ttftTargetMillis }),
      millisLeft: () => waiter.millisLeft(),
      granted: () => waiter.granted(),
      refused: (failure) => waiter.refused(failure),
    });
    // The place may have been granted, used and done with by now.
    if (this.#outcome === undefined) this.#place = place;
    else place.leave(tellsPace(this.#outcome));
  }

  ended(outcome: Outcome): void {
    this.#outcome = outcome;
    if (outcome.status === Status.OK) this.#parts.retries.deposit();
    this.#route?.release();
    this.#stopReading();
    this.#place?.leave(tellsPace(outcome));
    const { moves = 0, tried = [] } = this.#route ?? {};
    if (moves > 0) this.#parts.log.info("stream moved", { request: this.#requestId, workers: tried.join(", "), status: outcome.status });
    this.#span.end(outcome, tried);
  }

  /** What it asks for is known, or will not be. */
  #stopReading(): void {
    if (this.#isRead) return;
    this.#isRead = true;
    this.#parts.reading.leave();
  }
}

/** Whether a call took as long as such calls take: to its end, or so long that its deadline passed. */
function tellsPace({ status }: Outcome): boolean {
  return status === Status.OK || status === Status.DEADLINE_EXCEEDED;
}

/** Whose share a call uses: that of its key, which is the tenant for workers, too; else that of its address. */
function callerOf({ headers, peer }: CallHead, apiKeys: ApiKeys | undefined): TokenHolder {
  const key = apiKeys?.nameOf(single(headers, "authorization") ?? "");
  return key === undefined ? { client: peer } : { client: key, tenant: key };
}

/** What callers and workers of a router that shuts down are told. */
export const draining: Failure = {
  status: Status.UNAVAILABLE,
  reason: "DRAINING",
  message: "the router is shutting down; another one will serve a retry",
};

function unknownMethod(path: string): Failure {
  return { status: Status.UNIMPLEMENTED, message: `there is no method ${path.slice(0, 256)}` };
}
