import { readFileSync } from "node:fs";

/** Whether a process runs. One that has ended but was not yet collected by its parent does not. */
export function processAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z";
  } catch {
    return process.platform !== "linux";
  }
}

/** Resolves when none of the processes runs any more. */
export async function allEnded(pids: readonly number[]): Promise<void> {
  while (pids.some(processAlive)) await new Promise((resolve) => setTimeout(resolve, 50));
}
