import { setTimeout as sleep } from "node:timers/promises";
import type { Setup } from "./cases.js";
import type { Contender } from "./driver.js";
import type { Outcome } from "./result.js";

/** Who takes part in a case, and with which setup. */
export interface Entry {
  readonly name: string;
  readonly contender: Contender;
  readonly setup: Setup;
}

/**
 * Threads that spin for more work after a measurement go to sleep within it, in milliseconds. llama.cpp's spin for about
 * 100, and cost whoever comes next up to 40 %.
 */
const settleMs = 300;

/**
 * Measures all entries in turn, round by round, each round starting with another one: what disturbs the machine for a
 * while disturbs them all.
 */
export async function measureRounds(
  entries: readonly Entry[],
  rounds: number,
  onProgress: (text: string) => void,
): Promise<Outcome[]> {
  const states = [];
  for (const entry of entries) {
    onProgress(`${entry.name} prepares`);
    const answer = await entry.contender.setup(entry.setup);
    const able = !("unsupported" in answer);
    states.push({ ...entry, able, note: able ? answer.note : answer.unsupported, speeds: [] as number[] });
  }
  const able = states.filter((state) => state.able);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < able.length; turn++) {
      await sleep(settleMs);
      const state = able[(round + turn) % able.length]!;
      const speed = await state.contender.measure();
      state.speeds.push(speed);
      onProgress(`round ${round + 1}/${rounds}: ${state.name} ${speed.toPrecision(4)} tokens/s`);
    }
  }
  for (const { contender } of able) await contender.end();
  return states.map(({ name, speeds, note }) => ({ name, speeds, note }));
}
