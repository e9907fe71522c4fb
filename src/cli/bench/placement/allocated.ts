import { Session } from "node:inspector/promises";
import type { HeapProfiler } from "node:inspector/promises";

const calls = 5000;
/** About every so many bytes an object is taken down. */
const samplingInterval = 512;

/**
 * Bytes that a call allocates on V8's heap, whether a collection takes them away or not: what its sampling heap profiler
 * estimates over 5,000 calls, after as many without it. (The growth of the heap would tell less: a collection that makes
 * it comparable also drops compiled code, and what runs uncompiled allocates a number at each step.)
 */
export async function bytesPerCall(work: (index: number) => void): Promise<number> {
  const repeat = () => {
    for (let index = 0; index < calls; index++) work(index);
  };
  repeat();
  const session = new Session();
  session.connect();
  try {
    const everything = { includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true };
    await session.post("HeapProfiler.startSampling", { samplingInterval, ...everything });
    repeat();
    const { profile } = await session.post("HeapProfiler.stopSampling");
    return bytesOf(profile.head) / calls;
  } finally {
    session.disconnect();
  }
}

function bytesOf({ selfSize, children }: HeapProfiler.SamplingHeapProfileNode): number {
  return children.reduce((sum, child) => sum + bytesOf(child), selfSize);
}
