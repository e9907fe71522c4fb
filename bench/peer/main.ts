import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { benchPeers } from "./bench-peers.js";
import { cases, selectCases } from "./cases.js";
import { repository } from "./paths.js";
import { peers } from "./peers/index.js";
import type { Peer } from "./peers/peer.js";
import { ResultsFile } from "./results-file.js";
import { shareInWords } from "./share.js";
import { shapes } from "./shapes.js";
import type { ShapeName } from "./shapes.js";
import { formatTable } from "./table.js";

interface Options {
  readonly cases: string[];
  readonly shapes: ShapeName[];
  readonly with: Peer[];
  readonly rounds: number;
  readonly threads: number;
  readonly kvType: "f16" | "int8";
  readonly adapterType: "source" | "int8";
  readonly neighbour?: boolean;
  readonly append?: string;
  readonly json?: boolean;
  readonly install?: boolean;
}

// Whoever was started ends with this process: see the "exit" handlers.
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

const usual = peers.filter((peer) => peer.usual);
const command = new Command("bench:peer")
  .description("Measures polygraft and other engines in turn on the same random weights, and prints how they compare.")
  .option("--cases <list>", "cases to measure, by id; * stands for anything", list, ["*"])
  .option("--shapes <list>", `shapes of the model: ${Object.keys(shapes).join(", ")}`, shapeNames, ["135m"])
  .addOption(
    new Option("--with <list>", `peers: ${peers.map(({ name }) => name).join(", ")}`)
      .argParser(peerNames)
      .default(usual, usual.map(({ name }) => name).join(",")),
  )
  .option("--rounds <n>", "measurements of everybody in turn, of which the median counts", integer(1, 25), 5)
  .option("--threads <n>", "threads of each engine", integer(1, 1024), Math.min(2, availableParallelism()))
  .addOption(new Option("--kv-type <name>", "what polygraft stores keys and values as").choices(["f16", "int8"]).default("f16"))
  .addOption(new Option("--adapter-type <name>", "what polygraft holds adapters as").choices(["source", "int8"]).default("source"))
  .option("--neighbour", "keep one core busy with another process meanwhile")
  .option("--append <file>", "add rows to a file, leave out those that it has, and show all of them")
  .option("--json", "print one JSON object a line instead of the table")
  .option("--install", "install the peers and end")
  .addHelpText(
    "after",
    `
Cases:
${cases.map(({ id, title }) => `  ${id.padEnd(26)} ${title}`).join("\n")}

Examples:
  npm run bench:peer -- --install
  npm run bench:peer -- --cases 'decode-*,prefill-512' --rounds 3
  npm run bench:peer -- --shapes 135m,1.1b --append rows.jsonl
See bench/peer/README.md for what is measured and how.`,
  )
  .action(main);

async function main(options: Options): Promise<void> {
  const context = {
    cache: join(repository, ".cache/bench"),
    threads: options.threads,
    kvType: options.kvType,
    adapterType: options.adapterType,
    onProgress: (line: string) => void process.stderr.write(`${line}\n`),
  };
  if (options.install === true) {
    for (const peer of options.with) await peer.install(context);
    return;
  }
  const file = await ResultsFile.open(options.append);
  const selected = selectCases(options.cases);
  for await (const result of benchPeers({ ...options, cases: selected, peers: options.with, known: file }, context)) {
    await file.add(result);
    if (options.json === true) process.stdout.write(`${JSON.stringify(result)}\n`);
  }
  if (options.json === true) return;
  process.stdout.write(formatTable(file.results));
  for (const text of file.results.flatMap(shareInWords)) process.stdout.write(`\n${text}\n`);
}

function list(text: string): string[] {
  return text.split(",").map((part) => part.trim()).filter((part) => part !== "");
}

function shapeNames(text: string): ShapeName[] {
  return list(text).map((name) => {
    if (name in shapes) return name as ShapeName;
    throw new InvalidArgumentError(`There is no shape "${name}"; there are ${Object.keys(shapes).join(", ")}.`);
  });
}

function peerNames(text: string): Peer[] {
  return list(text).map((name) => {
    const peer = peers.find((it) => it.name === name);
    if (peer !== undefined) return peer;
    throw new InvalidArgumentError(`There is no peer "${name}"; there are ${peers.map((it) => it.name).join(", ")}.`);
  });
}

function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be an integer from ${least} to ${most}.`);
  };
}

try {
  await command.parseAsync();
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
