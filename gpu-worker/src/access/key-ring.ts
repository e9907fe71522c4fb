import { createPublicKey, type KeyObject } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { AccessKeys } from "@polygraft/api";

/** The contract's bounds. */
const MAX_KEYS = 8;
const MAX_ID_BYTES = 64;
const MAX_KEY_BYTES = 1024;
/** However long a router says that its tokens live. */
const MAX_TOKEN_SECONDS = 3600;

/** A key, and the clock of the router that signs with it. */
export interface TokenKey {
  readonly key: KeyObject;
  /** Milliseconds that the router's clock is ahead of the worker's. */
  readonly aheadMillis: number;
}

/** What one router has named. */
interface RouterKeys {
  readonly keys: ReadonlyMap<string, KeyObject>;
  readonly aheadMillis: number;
  readonly tokenMillis: number;
  /** When the last of its tokens has expired, once it has left. */
  endsAt: number;
}

/** The keys whose access tokens a worker takes: those of the routers that it has joined, and of those that just left. */
export class KeyRing {
  private readonly routers = new Map<object, RouterKeys>();
  private isRequired = false;

  /** Whether some router has asked, since the start, for calls without a token to be refused. */
  get required(): boolean {
    return this.isRequired;
  }

  /**
   * Takes a router's keys, in place of those that it named before. `router` is whatever stands for its stream.
   * @throws Error that says what is wrong with them; nothing has changed then, except that tokens may be required.
   */
  learn(router: object, { keys, required, tokenSeconds, unixMillis }: AccessKeys): void {
    // What is asked for is kept even if the keys are unusable: to let everybody in would be the worse mistake.
    this.isRequired ||= required;
    if (keys.length > MAX_KEYS) throw new Error(`a router may name at most ${MAX_KEYS} keys, not ${keys.length}`);
    const known = new Map<string, KeyObject>();
    for (const { id, publicKey } of keys) known.set(checkedId(id), readKey(publicKey));
    this.forgetExpired();
    const tokenMillis = 1000 * Math.min(tokenSeconds, MAX_TOKEN_SECONDS);
    // Clocks may be apart by however much, as long as they go equally fast.
    const aheadMillis = unixMillis === 0n ? 0 : Number(unixMillis) - Date.now();
    this.routers.set(router, { keys: known, aheadMillis, tokenMillis, endsAt: Number.POSITIVE_INFINITY });
  }

  /** A router's stream has ended. Tokens that it has given out stay good for as long as they live. */
  leave(router: object): void {
    const left = this.routers.get(router);
    if (left) left.endsAt = performance.now() + left.tokenMillis;
    this.forgetExpired();
  }

  /** The key of that id, if it is good. */
  find(id: string): TokenKey | undefined {
    const now = performance.now();
    for (const { keys, aheadMillis, endsAt } of this.routers.values()) {
      const key = now < endsAt ? keys.get(id) : undefined;
      if (key) return { key, aheadMillis };
    }
    return undefined;
  }

  private forgetExpired(): void {
    const now = performance.now();
    for (const [router, { endsAt }] of this.routers) if (now >= endsAt) this.routers.delete(router);
  }
}

function checkedId(id: string): string {
  if (id === "" || Buffer.byteLength(id) > MAX_ID_BYTES) throw new Error(`a key's id must have 1 to ${MAX_ID_BYTES} bytes`);
  return id;
}

function readKey(der: Uint8Array): KeyObject {
  if (der.length > MAX_KEY_BYTES) throw new Error(`a public key must have at most ${MAX_KEY_BYTES} bytes, not ${der.length}`);
  const key = createPublicKey({ key: Buffer.from(der), format: "der", type: "spki" });
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (curve !== "prime256v1") throw new Error(`a public key must be one of P-256, not ${curve ?? key.asymmetricKeyType}`);
  return key;
}
