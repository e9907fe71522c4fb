import { Command } from "commander";
import { soak, sum } from "./soak.js";
import type { SoakResult } from "./soak.js";

// Processes that were started end with this one.
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

await new Command("soak")
  .description(
    "Lets random traffic at a router and a worker with too little room for it: requests of all kinds, cancels, clients that\n" +
      "vanish, adapters that are loaded, pinned, unloaded, replaced, swapped under streams and removed, bad requests and\n" +
      "nonsense. Says how memory grew and what was left behind. Exits with 1 if anything was, or if memory grew beyond the bound.",
  )
  .option("--minutes <n>", "how long", "3")
  .option("--seed <n>", "of the traffic", "1")
  .option("--growth <MiB>", "most growth of a process from the first third after the warm-up to the last", "24")
  .option("--json", "print one JSON object instead of the summary")
  .action(main)
  .parseAsync();

interface Options {
  readonly minutes: string;
  readonly seed: string;
  readonly growth: string;
  readonly json?: boolean;
}

async function main(options: Options): Promise<void> {
  const [minutes, seed, bound] = [options.minutes, options.seed, options.growth].map(Number) as [number, number, number];
  if (!(minutes > 0 && Number.isInteger(seed) && bound > 0)) throw new RangeError("--minutes and --growth must be above 0, --seed a whole number");
  const result = await soak({ seconds: minutes * 60, seed, onProgress: (line) => process.stderr.write(`${line}\n`) });
  const grown = [...result.memory].filter(([, { first, last }]) => last - first > bound * 2 ** 20);
  process.stdout.write(options.json === true ? `${JSON.stringify(plain(result))}\n` : text(result));
  if (grown.length + result.left.length + result.tally.surprises.length > 0 || !result.same) process.exitCode = 1;
}

function plain({ tally, memory, ...rest }: SoakResult): object {
  const { operations, refusals } = tally;
  return {
    ...rest,
    tally: { ...tally, operations: Object.fromEntries(operations), refusals: Object.fromEntries(refusals) },
    memory: Object.fromEntries(memory),
  };
}

function text({ tally, pressure, memory, left, same }: SoakResult): string {
  const list = (counts: ReadonlyMap<string, number>): string =>
    [...counts].sort(([, a], [, b]) => b - a).map(([name, count]) => `${count} × ${name}`).join(", ");
  const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  return [
    `${sum(tally.operations)} operations, ${tally.outputTokens} output tokens: ${list(tally.operations)}`,
    `refused: ${list(tally.refusals) || "nothing"}`,
    `adapters in use: ${pressure.inUse.toFixed(1)} in the mean, ${pressure.offDevice.toFixed(1)} of them off the device; changed under running streams: ${tally.adapterChanges} times`,
    ...[...memory].map(([name, { first, last, peak }]) => `${name}: ${mebibytes(first)} after the warm-up, ${mebibytes(last)} at the end, ${mebibytes(peak)} at most`),
    `left behind: ${left.join(", ") || "nothing"}`,
    `the same request before and after: ${same ? "the same bits" : "DIFFERENT"}`,
    ...tally.surprises.slice(0, 20).map((surprise) => `unexpected: ${surprise}`),
    "",
  ].join("\n");
}
