import type { Metadata } from "nice-grpc-common";
import { decodeProtectedHeader, errors, jwtVerify, type JWTVerifyOptions } from "jose";
import { Failure } from "../failure.js";
import type { KeyRing } from "./key-ring.js";

/** Who calls, as a token says. */
export interface Caller {
  /** Whose fair share its requests use, whatever they say. Absent: what they say. */
  readonly tenant: string | undefined;
}

/** A token that was checked. */
interface Checked {
  readonly caller: Caller;
  readonly keyId: string;
  /** Milliseconds since the epoch, on the worker's clock. */
  readonly expiresAt: number;
}

/** How far the clocks of router and worker may have moved apart since the router told its own, in seconds. */
const CLOCK_TOLERANCE_SECONDS = 10;

/** Tokens that are remembered, so that one is verified once and not with each request. */
const MAX_REMEMBERED = 4096;

/** Longer ones are not looked at. Our own have about 350. */
const MAX_TOKEN_BYTES = 4096;

const MAX_TENANT_BYTES = 128;

const EVERYBODY: Caller = { tenant: undefined };

const VERIFY: JWTVerifyOptions = {
  algorithms: ["ES256"],
  audience: "polygraft-worker",
  clockTolerance: CLOCK_TOLERANCE_SECONDS,
  requiredClaims: ["exp", "sub"],
};

/** Lets callers in: everybody, or those with an access token of a router that the worker has joined. */
export class Gate {
  private readonly keys: KeyRing;
  private readonly requireToken: boolean | undefined;
  private readonly remembered = new Map<string, Checked>();

  /** `requireToken`: undefined leaves it to the routers. */
  constructor(keys: KeyRing, requireToken: boolean | undefined) {
    this.keys = keys;
    this.requireToken = requireToken;
  }

  /** Who makes a call with this metadata. Throws UNAUTHENTICATED; messages never repeat the token. */
  async admit(metadata: Metadata): Promise<Caller> {
    if (!(this.requireToken ?? this.keys.required)) return EVERYBODY;
    const token = /^Bearer +(\S+)$/i.exec(metadata.get("authorization") ?? "")?.[1];
    if (token === undefined) throw refusal("the call carries none");
    if (token.length > MAX_TOKEN_BYTES) throw refusal("this one is too long to be one");
    const checked = this.recall(token) ?? (await this.verify(token));
    return checked.caller;
  }

  private recall(token: string): Checked | undefined {
    const checked = this.remembered.get(token);
    if (!checked) return undefined;
    const expired = Date.now() >= checked.expiresAt + 1000 * CLOCK_TOLERANCE_SECONDS;
    if (!expired && this.keys.find(checked.keyId)) return checked;
    this.remembered.delete(token);
    return undefined;
  }

  private async verify(token: string): Promise<Checked> {
    try {
      const { kid = "" } = decodeProtectedHeader(token);
      const found = this.keys.find(kid);
      if (!found) throw new errors.JWKSNoMatchingKey();
      const { key, aheadMillis } = found;
      const currentDate = new Date(Date.now() + aheadMillis);
      const { tenant, exp = 0 } = (await jwtVerify(token, key, { ...VERIFY, currentDate })).payload;
      const checked = { caller: { tenant: tenantOf(tenant) }, keyId: kid, expiresAt: exp * 1000 - aheadMillis };
      if (this.remembered.size >= MAX_REMEMBERED) this.forgetOldest();
      this.remembered.set(token, checked);
      return checked;
    } catch (error) {
      throw refusal(whatIsWrong(error));
    }
  }

  private forgetOldest(): void {
    for (const token of this.remembered.keys()) {
      this.remembered.delete(token);
      return;
    }
  }
}

function tenantOf(claim: unknown): string | undefined {
  if (claim === undefined) return undefined;
  if (typeof claim !== "string" || Buffer.byteLength(claim) > MAX_TENANT_BYTES) throw new errors.JWTInvalid();
  return claim;
}

function whatIsWrong(error: unknown): string {
  if (error instanceof errors.JWTExpired) return "this one has expired";
  if (error instanceof errors.JWKSNoMatchingKey) return "this one is of a router that the worker has not joined";
  return "this one is not valid";
}

function refusal(what: string): Failure {
  return new Failure("UNAUTHENTICATED", `this worker takes calls with an access token of its routers, and ${what}`);
}
