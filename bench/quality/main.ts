import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { repository } from "../repository.js";
import { LlamaCpp } from "./gguf/llama-cpp.js";
import { ggufTypes, measureGguf, type GgufRow } from "./gguf/measure.js";
import { ggufTables } from "./gguf/table.js";
import { measure, type Row } from "./measure.js";
import { schemes, variants, type Variant } from "./schemes.js";
import { subject, subjectNames, type SubjectName } from "./subjects.js";
import { qualityTables } from "./table.js";

interface Options {
  readonly models: SubjectName[];
  readonly weights: string;
  readonly head?: number;
  readonly activations?: string;
  readonly smollm2?: string;
  readonly gguf?: string[];
  readonly python: string;
  readonly threads: number;
  readonly kvType: "f16" | "int8";
  readonly adapterType: "source" | "int8";
  readonly json?: boolean;
}

const command = new Command("bench:quality")
  .description(
    "Compares quantized models with their source in full precision on fixed texts: perplexity, the most probable token,\n" +
      "log-probabilities, and what becomes of the changes that an adapter makes. All of them run in the engine.",
  )
  .option("--models <list>", `models to measure: ${subjectNames.join(", ")}`, models, ["bundled"] as SubjectName[])
  .option("--smollm2 <dir>", "folder of SmolLM2-135M-Instruct (default: where `make demo MODEL=smollm2` puts it)")
  .option("--weights <text>", "only schemes whose name contains this", "")
  .option("--head <n>", "only this head: 4 or 8", Number)
  .option("--activations <name>", "only these activations: int8 or f32")
  .addOption(new Option("--kv-type <name>", "of the schemes' keys and values").choices(["f16", "int8"]).default("f16"))
  .addOption(new Option("--adapter-type <name>", "what the schemes hold adapters as").choices(["source", "int8"]).default("source"))
  .option("--gguf <list>", `instead: GGUF files in llama.cpp and here; types (${ggufTypes.join(", ")}), "all", or files`, ggufFiles)
  .option("--python <path>", "for --gguf: a Python with llama-cpp-python, gguf, safetensors and torch", "python3")
  .option("--threads <n>", "threads of the engine", Number, availableParallelism())
  .option("--json", "print one JSON object a line instead of the table")
  .addHelpText(
    "after",
    `
Schemes:
${schemes.map(({ name }) => `  ${name}`).join("\n")}

Examples:
  npm run bench:quality
  npm run bench:quality -- --models bundled,smollm2 --json > rows.jsonl
  npm run bench:quality -- --weights g64 --head 8
  npm run bench:quality -- --gguf all --python .cache/python/bin/python
See bench/quality/README.md for what is measured and how.`,
  )
  .action(main);

const onProgress = (line: string): void => void process.stderr.write(`${line}\n`);
const cache = join(repository, ".cache/bench/quality");

async function main(options: Options): Promise<void> {
  await (options.gguf === undefined ? compareSchemes(options) : compareFiles(options, options.gguf));
}

async function compareSchemes(options: Options): Promise<void> {
  const chosen = variants(schemes.filter(({ name }) => name.includes(options.weights))).filter((it) => wanted(it, options));
  if (chosen.length === 0) throw new Error("no scheme is left of these options: see --help for those that there are");
  const rows: Row[] = [];
  for (const name of options.models) {
    for await (const row of measure(await chosenSubject(name, options), chosen, { cache, threads: options.threads, kvType: options.kvType, adapterType: options.adapterType, onProgress })) {
      if (options.json === true) process.stdout.write(`${JSON.stringify(row)}\n`);
      rows.push(row);
    }
  }
  if (options.json !== true) process.stdout.write(qualityTables(rows));
}

async function compareFiles(options: Options, files: readonly string[]): Promise<void> {
  const llamaCpp = new LlamaCpp(options.python, options.threads);
  const rows: GgufRow[] = [];
  for (const name of options.models) {
    for await (const row of measureGguf(await chosenSubject(name, options), { files, llamaCpp, cache, threads: options.threads, onProgress })) {
      if (options.json === true) process.stdout.write(`${JSON.stringify(row)}\n`);
      rows.push(row);
    }
  }
  if (options.json !== true) process.stdout.write(ggufTables(rows));
}

function chosenSubject(name: SubjectName, { smollm2 }: Options): ReturnType<typeof subject> {
  return subject(name, name === "smollm2" ? smollm2 : undefined);
}

function wanted({ headBits, activations }: Variant, options: Options): boolean {
  return (options.head ?? headBits) === headBits && (options.activations ?? activations) === activations;
}

function models(text: string): SubjectName[] {
  return text.split(",").map((part) => {
    const name = subjectNames.find((it) => it === part.trim());
    if (name === undefined) throw new InvalidArgumentError(`There is no model "${part}"; there are ${subjectNames.join(", ")}.`);
    return name;
  });
}

function ggufFiles(text: string): string[] {
  if (text === "all") return [...ggufTypes];
  return text.split(",").map((part) => {
    const name = part.trim();
    if (name.endsWith(".gguf") || ggufTypes.some((type) => type === name)) return name;
    throw new InvalidArgumentError(`"${name}" is neither a file that ends in .gguf nor one of ${ggufTypes.join(", ")}.`);
  });
}

// A model that is being made lies in a folder of its own until it is whole.
process.on("SIGINT", () => process.exit(130));
process.on("SIGTERM", () => process.exit(143));

try {
  await command.parseAsync();
} catch (error) {
  process.stderr.write(`bench:quality: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
