import { createHash, generateKeyPairSync } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { AccessKey } from "@polygraft/api";
import type { Timers } from "../timers.js";

/** A key that signs, and how workers know it. */
export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly known: AccessKey;
}

/** When keys follow each other, in milliseconds. */
export interface KeyRotation {
  /** How long a key signs alone. */
  readonly keyMillis: number;
  /** How long workers know the next key before it signs. Longer than one that hears nothing stays in the fleet. */
  readonly noticeMillis: number;
  /** How long workers know a key that signs no more: until the last of what it signed has expired. */
  readonly afterlifeMillis: number;
}

/**
 * The keys of one router, drawn here and never written anywhere: there is no secret to configure, and none that outlives
 * the router. One follows another without a refused token: the next is named to workers first, then it signs, and the old
 * one is taken back when nothing good is left of it. At most two are known at a time.
 */
export class SigningKeys {
  readonly #timers: Timers;
  readonly #rotation: KeyRotation | undefined;
  readonly #listeners = new Set<() => void>();
  #current = drawKey();
  #all: readonly SigningKey[] = [this.#current];
  #cancel = () => {};

  /** @param rotation absent: the first key stays. */
  constructor(rotation: KeyRotation | undefined, timers: Timers) {
    this.#timers = timers;
    this.#rotation = rotation;
    this.#waitForNext();
  }

  /** The one that signs. */
  get current(): SigningKey {
    return this.#current;
  }

  /** All that workers are to take now. */
  get known(): readonly AccessKey[] {
    return this.#all.map(({ known }) => known);
  }

  /** Tells a listener each time that workers are to take other keys, until the result is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#cancel();
  }

  #waitForNext(): void {
    if (this.#rotation === undefined) return;
    const { keyMillis, noticeMillis, afterlifeMillis } = this.#rotation;
    this.#cancel = this.#timers.after(keyMillis, () => {
      const next = drawKey();
      this.#name([this.#current, next]);
      this.#cancel = this.#timers.after(noticeMillis, () => {
        this.#current = next;
        this.#cancel = this.#timers.after(afterlifeMillis, () => {
          this.#name([next]);
          this.#waitForNext();
        });
      });
    });
  }

  #name(all: readonly SigningKey[]): void {
    this.#all = all;
    for (const listener of this.#listeners) listener();
  }
}

function drawKey(): SigningKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const id = createHash("sha256").update(spki).digest("base64url").slice(0, 16);
  return { privateKey, known: { id, publicKey: spki } };
}
