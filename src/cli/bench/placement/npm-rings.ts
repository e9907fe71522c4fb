/** Hash rings of npm. They are compared with, not used: only a checkout with its development packages has them. */

import { hash64 } from "@polygraft/placement";
import { indexOf } from "./policies.js";
import type { Policy } from "./policies.js";
import { seeded } from "./random.js";

interface ConsistentHash {
  add(node: string, count: number, points: readonly number[]): void;
  get(key: string): string;
}

interface HashRing {
  get(key: string): string;
}

/** Names of the packages. */
export const npmRings = ["consistent-hash", "hashring"] as const;

/**
 * A ring of npm with its own defaults.
 *
 * @returns undefined if the package is not installed.
 */
export async function npmRing(name: (typeof npmRings)[number]): Promise<Policy | undefined> {
  const make = name === "hashring" ? await hashring() : await consistentHash();
  if (make === undefined) return undefined;
  return {
    name,
    choose({ workers }) {
      const get = make(workers.map((worker) => worker.name));
      return ({ key }) => indexOf(get(key));
    },
    owner: make,
  };
}

type Make = (workers: readonly string[]) => (key: string) => string;

async function consistentHash(): Promise<Make | undefined> {
  const Type = await constructorOf<ConsistentHash>("consistent-hash");
  if (Type === undefined) return undefined;
  return (workers) => {
    const ring = new Type();
    // What the package does by itself, 40 random points of 100,003 a worker; but it would draw others on each router,
    // which then agree on nothing.
    const taken = new Set<number>();
    for (const worker of workers) {
      const points: number[] = [];
      const draw = seeded(hash64(worker).hi);
      while (points.length < 40) {
        const point = Math.floor(draw() * 100_003);
        if (!taken.has(point)) points.push(point);
        taken.add(point);
      }
      ring.add(worker, 40, points);
    }
    return (key) => ring.get(key);
  };
}

async function hashring(): Promise<Make | undefined> {
  const Type = await constructorOf<HashRing>("hashring");
  if (Type === undefined) return undefined;
  return (workers) => {
    const ring = new Type(workers);
    return (key) => ring.get(key);
  };
}

/** The class that a package of CommonJS exports. */
async function constructorOf<T>(name: string): Promise<(new (...args: unknown[]) => T) | undefined> {
  try {
    const { default: type } = (await import(name)) as { default: new (...args: unknown[]) => T };
    return type;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}
