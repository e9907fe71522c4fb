import type { AccessKeys, AccessToken } from "@polygraft/api";
import { SignJWT } from "jose";
import type { Timers } from "../timers.js";
import { SigningKeys } from "./signing-keys.js";
import type { KeyRotation } from "./signing-keys.js";

/** Whom a token is for. */
export interface TokenHolder {
  /** The client, as the router tells clients apart. */
  readonly client: string;
  /** Whose fair share its requests use, whatever they say. Absent: what they say. */
  readonly tenant?: string | undefined;
}

/** How tokens are made. */
export interface TokenOptions {
  /** Name of the router. */
  readonly router: string;
  /** Life of a token, in seconds. */
  readonly tokenSeconds: number;
  /** Workers are to refuse calls without one. */
  readonly required: boolean;
  /** When the key that signs is replaced. Absent: never. */
  readonly rotation?: Pick<KeyRotation, "keyMillis" | "noticeMillis">;
}

/** Whom tokens are for: workers take no other. */
const audience = "polygraft-worker";

/** JSON Web Algorithms' name of ECDSA on P-256 with SHA-256. Ed25519 would do, but is experimental in Node 20's WebCrypto. */
const algorithm = "ES256";

/** How long after its end a worker may still take a token, in milliseconds: clocks differ. */
const toleranceMillis = 10_000;

/** Signs short-lived access tokens that the workers of this router check. */
export class TokenIssuer {
  readonly #keys: SigningKeys;
  readonly #options: TokenOptions;
  readonly #timers: Timers;
  #own = "";
  #cancel = () => {};

  private constructor(options: TokenOptions, timers: Timers) {
    const { rotation, tokenSeconds } = options;
    const afterlifeMillis = tokenSeconds * 1000 + toleranceMillis;
    this.#keys = new SigningKeys(rotation && { ...rotation, afterlifeMillis }, timers);
    this.#options = options;
    this.#timers = timers;
  }

  /** Draws a key. `close` ends the renewal of keys and of the router's own token. */
  static async start(options: TokenOptions, timers: Timers): Promise<TokenIssuer> {
    const issuer = new TokenIssuer(options, timers);
    await issuer.#renewOwn();
    return issuer;
  }

  /** What workers are told now, to check the tokens. */
  get accessKeys(): AccessKeys {
    const { required, tokenSeconds } = this.#options;
    return { keys: [...this.#keys.known], required, tokenSeconds, unixMillis: BigInt(Date.now()) };
  }

  /** Tells a listener each time that `accessKeys` changes, until the result is called. */
  onKeysChange(listener: () => void): () => void {
    return this.#keys.onChange(listener);
  }

  /** The `authorization` header of the router's own calls to workers. Always one that is valid for some time. */
  get authorization(): string {
    return `Bearer ${this.#own}`;
  }

  /** Signs a token. */
  async issue({ client, tenant }: TokenHolder): Promise<AccessToken> {
    const { router, tokenSeconds } = this.#options;
    const { privateKey, known } = this.#keys.current;
    const issuedAt = Math.floor(Date.now() / 1000);
    const token = await new SignJWT(tenant === undefined ? {} : { tenant })
      .setProtectedHeader({ alg: algorithm, kid: known.id })
      .setIssuer(router)
      .setAudience(audience)
      .setSubject(client)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + tokenSeconds)
      .sign(privateKey);
    return { token, validMillis: tokenSeconds * 1000 };
  }

  close(): void {
    this.#keys.close();
    this.#cancel();
  }

  async #renewOwn(): Promise<void> {
    const { router, tokenSeconds } = this.#options;
    const { token } = await this.issue({ client: `router ${router}` });
    this.#own = token;
    this.#cancel = this.#timers.after((tokenSeconds * 1000) / 2, () => void this.#renewOwn());
  }
}
