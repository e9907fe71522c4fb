import { expect, test } from "vitest";
import { EngineError, type Engine, type HostAdapter } from "../engine/engine.js";
import { AdapterVersion } from "./adapter-version.js";
import { DeviceTier } from "./device-tier.js";
import type { HostTier } from "./host-tier.js";

/** Slots for one adapter of one byte; packing a parked one again waits for `resume`. */
class OnePlace {
  readonly info = { adapterBytes: 1 };
  readonly detached: number[] = [];
  resume: () => void = () => {};
  resuming = false;
  private readonly slots = new Map<number, boolean>(); // whether each is on the device
  private next = 0;
  private steps = 0;
  private onStepped = (): void => {};

  load = () => ({ adapterBytesUsed: [...this.slots.values()].filter(Boolean).length, steps: this.steps });
  onStep = (callback: () => void) => void (this.onStepped = callback);
  attachAdapter = async () => {
    this.slots.set(this.next, true);
    return this.next++;
  };
  detachAdapter = (slot: number) => {
    if (!this.slots.delete(slot)) throw new EngineError("NOT_FOUND", `no adapter is attached at slot ${slot}`);
    this.detached.push(slot);
  };
  parkAdapter = (slot: number) => void this.slots.set(slot, false);
  resumeAdapter = async (_: HostAdapter, slot: number) => {
    this.resuming = true;
    await new Promise<void>((resolve) => (this.resume = resolve));
    if (this.slots.has(slot)) this.slots.set(slot, true);
  };

  step(): void {
    this.steps++;
    this.onStepped();
  }
}

const version = (id: string): AdapterVersion => {
  const one = new AdapterVersion({ id } as AdapterVersion["folder"], id, "", {} as AdapterVersion["card"]);
  one.host = { deviceBytes: 1 } as HostAdapter;
  one.deviceBytes = 1;
  return one;
};

const wait = { millis: 60_000, wanted: () => true };

/** A device with room for one version, and short turns. */
function onePlace() {
  const engine = new OnePlace();
  const host = { load: async (one: AdapterVersion) => one.host } as unknown as HostTier;
  const tier = new DeviceTier({ engine: engine as unknown as Engine, host, turnMillis: 1, changed: () => {} });
  return { engine, tier };
}

/** Takes steps until the version has had its turn. */
async function untilParked(version: AdapterVersion, engine: OnePlace): Promise<void> {
  for (let steps = 0; !version.parked; steps++) {
    engine.step();
    await new Promise(setImmediate);
    expect(steps).toBeLessThan(1000);
  }
}

test("a version that is dropped while the engine packs it again is gone, and gives its place", async () => {
  const { engine, tier } = onePlace();
  const [parked, other, third] = [version("parked"), version("other"), version("third")];

  parked.references = 1;
  await tier.load(parked, wait);
  [other.references, other.unserved] = [1, 1];
  const loaded = tier.load(other, wait);
  await untilParked(parked, engine);
  await loaded;

  [other.references, other.unserved] = [0, 0];
  tier.notify();
  while (!engine.resuming) await new Promise(setImmediate);
  expect(engine.detached).toEqual([1]); // the other one made room

  parked.references = 0;
  tier.drop(parked);
  engine.resume();
  await tier.load(third, wait);
  expect(parked.slot).toBeUndefined();
  expect(third.slot).toBe(2);
  expect(engine.detached).toEqual([1, 0]); // each once
});

test("a pin that is in the way of a parked version ends, and one that would be is refused", async () => {
  const { engine, tier } = onePlace();
  const [parked, pinned] = [version("parked"), version("pinned")];

  parked.references = 1;
  await tier.load(parked, wait);
  expect(() => tier.assertCanPin(pinned)).toThrow(/1 of 1 bytes for adapters would be pinned, where adapters in use need 1 /);
  expect(() => tier.assertCanPin(parked)).not.toThrow();

  pinned.pinned = true; // as its name's content before
  pinned.unserved = 1;
  const loaded = tier.load(pinned, wait);
  await untilParked(parked, engine);
  await loaded;
  while (!engine.resuming) await new Promise(setImmediate);
  expect(pinned.pinned).toBe(false);
  expect(engine.detached).toEqual([1]);
  engine.resume();
});
