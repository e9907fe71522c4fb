import { createHash, generateKeyPairSync } from "node:crypto";
import type { AccessKeys, AccessToken } from "@polygraft/api";
import { SignJWT } from "jose";
import type { Timers } from "../timers.js";

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
}

/** Whom tokens are for: workers take no other. */
const audience = "polygraft-worker";

/** JSON Web Algorithms' name of ECDSA on P-256 with SHA-256. Ed25519 would do, but is experimental in Node 20's WebCrypto. */
const algorithm = "ES256";

/**
 * Signs short-lived access tokens that the workers of this router check. The key is drawn at the start and never leaves
 * the process: there is no secret to configure, and none that outlives the router.
 */
export class TokenIssuer {
  readonly #privateKey;
  readonly #publicKey: Buffer;
  readonly #keyId: string;
  readonly #options: TokenOptions;
  readonly #timers: Timers;
  #own = "";
  #cancel = () => {};

  private constructor(options: TokenOptions, timers: Timers) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const spki = publicKey.export({ type: "spki", format: "der" });
    this.#privateKey = privateKey;
    this.#keyId = createHash("sha256").update(spki).digest("base64url").slice(0, 16);
    this.#options = options;
    this.#timers = timers;
    this.#publicKey = spki;
  }

  /** Draws a key. `close` ends the renewal of the router's own token. */
  static async start(options: TokenOptions, timers: Timers): Promise<TokenIssuer> {
    const issuer = new TokenIssuer(options, timers);
    await issuer.#renewOwn();
    return issuer;
  }

  /** What workers are told now, to check the tokens. */
  get accessKeys(): AccessKeys {
    const { required, tokenSeconds } = this.#options;
    const keys = [{ id: this.#keyId, publicKey: this.#publicKey }];
    return { keys, required, tokenSeconds, unixMillis: BigInt(Date.now()) };
  }

  /** The `authorization` header of the router's own calls to workers. Always one that is valid for some time. */
  get authorization(): string {
    return `Bearer ${this.#own}`;
  }

  /** Signs a token. */
  async issue({ client, tenant }: TokenHolder): Promise<AccessToken> {
    const { router, tokenSeconds } = this.#options;
    const issuedAt = Math.floor(Date.now() / 1000);
    const token = await new SignJWT(tenant === undefined ? {} : { tenant })
      .setProtectedHeader({ alg: algorithm, kid: this.#keyId })
      .setIssuer(router)
      .setAudience(audience)
      .setSubject(client)
      .setIssuedAt(issuedAt)
      .setExpirationTime(issuedAt + tokenSeconds)
      .sign(this.#privateKey);
    return { token, validMillis: tokenSeconds * 1000 };
  }

  close(): void {
    this.#cancel();
  }

  async #renewOwn(): Promise<void> {
    const { router, tokenSeconds } = this.#options;
    const { token } = await this.issue({ client: `router ${router}` });
    this.#own = token;
    this.#cancel = this.#timers.after((tokenSeconds * 1000) / 2, () => void this.#renewOwn());
  }
}
