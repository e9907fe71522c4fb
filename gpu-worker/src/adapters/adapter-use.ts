import type { AdapterVersion } from "./adapter-version.js";
import type { Residence } from "./residence.js";

/**
 * One request's use of a version, from its asking for it to its end. Until it has begun, which means that it has had its
 * first token, its version goes ahead of others on the way to the device, and stays there.
 */
export class AdapterUse {
  private readonly residence: Residence;
  private current: AdapterVersion;
  private hasBegun = false;
  private hasEnded = false;

  constructor(residence: Residence, version: AdapterVersion) {
    this.residence = residence;
    this.current = version;
    this.enter();
  }

  /** The version in use. */
  get version(): AdapterVersion {
    return this.current;
  }

  /** Another version takes over while the request runs. */
  moveTo(version: AdapterVersion): void {
    const before = this.current;
    this.current = version;
    this.enter();
    this.leave(before);
  }

  /** The request has had its first token. */
  begin(): void {
    if (this.hasBegun || this.hasEnded) return;
    this.hasBegun = true;
    this.residence.awaitFirst(this.current, -1);
  }

  /** The request has ended. */
  end(): void {
    if (this.hasEnded) return;
    this.leave(this.current);
    this.hasEnded = true;
  }

  private enter(): void {
    this.residence.retain(this.current);
    if (!this.hasBegun) this.residence.awaitFirst(this.current, 1);
  }

  private leave(version: AdapterVersion): void {
    if (!this.hasBegun) this.residence.awaitFirst(version, -1);
    this.residence.release(version);
  }
}
