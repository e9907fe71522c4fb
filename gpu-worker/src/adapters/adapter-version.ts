import { Tier } from "@polygraft/api";
import type { HostAdapter } from "../engine/engine.js";
import type { Failure } from "../failure.js";
import type { AdapterCard, Stamp } from "./content.js";
import type { AdapterFolder } from "./source.js";
import type { Moment } from "./turns.js";

/** One content of an adapter: immutable but for where it is and who uses it. Another content is another version. */
export class AdapterVersion {
  readonly folder: AdapterFolder;
  readonly digest: string;
  readonly card: AdapterCard;
  /** The files as they were when the digest was taken. */
  stamp: Stamp;
  /** Its copy in host memory. The host tier's. */
  host: HostAdapter | undefined;
  /** Its slot on the device. The device tier's. */
  slot: number | undefined;
  /** It has a slot, but is off the device until its turn comes again: its requests wait. The device tier's. */
  parked = false;
  /** When it came to the device last. The device tier's. */
  residentSince: Moment = { now: 0, steps: 0 };
  /** Bytes on the device, once the engine has said how many. */
  deviceBytes = 0;
  /** Microseconds that the last load took, from the tier below to the device. */
  loadMicros = 0;
  /** Running and waiting requests that use it. */
  references = 0;
  /** Of those, requests that have had no token yet. */
  unserved = 0;
  /** Kept on the device. */
  pinned = false;
  /** Unloaded while in use: it goes when its last request ends, unless it is asked for again before. */
  leaving = false;
  /** Its name stands for another content, or for nothing, by now. It goes when its last request ends. */
  superseded = false;
  /** Why it can never be served. */
  failure: Failure | undefined;

  constructor(folder: AdapterFolder, digest: string, stamp: Stamp, card: AdapterCard) {
    this.folder = folder;
    this.digest = digest;
    this.stamp = stamp;
    this.card = card;
  }

  /** The tier closest to the kernels that holds it. */
  get tier(): Tier {
    if (this.slot !== undefined && !this.parked) return Tier.DEVICE;
    return this.host === undefined ? Tier.DISK : Tier.HOST;
  }
}
