import { EngineError, quantizeModel } from "@polygraft/worker";
import type { ProjectionErrors, QuantizeOptions, QuantizeReport } from "@polygraft/worker";
import { Command, Option } from "commander";
import { integer, oneOf } from "../arguments.js";
import { UsageError } from "../exit.js";
import { interruptible } from "../interrupt.js";
import { ProgressLine } from "../output/progress-line.js";
import { Stdout } from "../output/stdout.js";
import { formatTable } from "../output/table.js";
import type { Column } from "../output/table.js";

/** Flags are named as the options of `quantizeModel`. */
interface QuantizeCommandOptions extends Omit<QuantizeOptions, "model"> {
  readonly json?: boolean;
}

/** `polygraft quantize`: a model to serve, made ahead of time. */
export function quantizeCommand(): Command {
  return new Command("quantize")
    .summary("quantize a model ahead of time")
    .description(
      "Quantizes a model into a folder that workers serve as it is. Without --calibrate this is what a worker does when\n" +
        "it loads the model: clip range and scale of each group are searched for the least error of its weights. With\n" +
        "--calibrate, what one weight's rounding does to the outputs is made up for by the weights after it (GPTQ), which\n" +
        "takes minutes for a small model. The same model, options and texts give the same weights file everywhere.",
    )
    .argument("<model>", "folder of the model (Hugging Face layout), or a GGUF file that is not in 4 bits")
    .requiredOption("-o, --output <dir>", "folder to make; it must not exist")
    .addOption(new Option("--scheme <name>", "how weights are held (default: w4)").choices(["w4", "nf4", "w8"]))
    .addOption(new Option("--group, --group-size <n>", "weights that share a scale: 32, 64 or 128 (default: 32)").argParser(oneOf(32, 64, 128)))
    .addOption(new Option("--head-bits <n>", "bits of embedding and output head: 4, 8 or 32 (default: 8)").argParser(oneOf(4, 8, 32)))
    .option("-c, --calibrate <file>", "texts like those the model will see: plain, or .jsonl with a string or {\"text\": …} a line")
    .option("--calibrate-tokens <n>", "tokens of them that are used (default: 8192)", integer(256, 1_000_000))
    .option("--threads <n>", "threads of the calibration's forward passes (default: one for each core)", integer(1, 1024))
    .option("--json", "print one JSON object")
    .addHelpText(
      "after",
      `
Errors are squared errors over the squares of what was to be kept, mean over layers. A head in 4 bits has a line of its own.

Examples:
  polygraft quantize ./llama --output ./llama-w4
  polygraft quantize ./llama --output ./llama-w4-g128 --group-size 128 --calibrate texts.jsonl
  polygraft quantize ./llama.Q8_0.gguf --output ./llama-of-q8 --calibrate texts.jsonl
  polygraft up --model ./llama-w4`,
    )
    .action(quantize);
}

async function quantize(model: string, { json, ...options }: QuantizeCommandOptions): Promise<void> {
  if (options.calibrate === undefined && options.calibrateTokens !== undefined) {
    throw new UsageError("--calibrate-tokens needs --calibrate: there are no texts");
  }
  const progress = new ProgressLine();
  const report = await interruptible((signal) =>
    quantizeModel(
      { model, ...options },
      { signal, onProgress: (phase, done, total) => json !== true && progress.show(phase, done, total) },
    ).finally(() => progress.end()),
  ).catch(usageError);
  const output = new Stdout();
  if (json === true) return output.write(JSON.stringify({ output: options.output, ...report }) + "\n");
  await output.write(summary(options, report));
}

/** What the user can put right on the command line has the exit code of the command line. */
function usageError(error: unknown): never {
  throw error instanceof EngineError && error.code === "INVALID_ARGUMENT" ? new UsageError(error.message) : error;
}

/** Errors below this are those of rounding to 16 bits. */
const UNCHANGED = 5e-7;

function summary(options: QuantizeCommandOptions, report: QuantizeReport): string {
  const { output, scheme = "w4", groupSize = 32, headBits = 8 } = options;
  const calibrated = report.calibrationTokens > 0;
  // Calibration moves weights further than rounding does, so that outputs move less: only those tell its gain.
  const onGrid = report.projections.every(({ weights }) => weights < UNCHANGED);
  const gain = onGrid
    ? "weight error  none: the weights lie on this grid already"
    : calibrated
      ? `output error  ${change(report.projections, "roundedOutputs", "outputs")} on ${report.calibrationTokens} tokens, against each weight rounded by itself`
      : `weight error  ${change(report.projections, "plainWeights", "weights")}, against groups from their smallest to their largest weight`;
  const rows = report.head === undefined ? report.projections : [...report.projections, report.head];
  const lines = [formatTable(calibrated ? [...weightColumns, ...outputColumns] : weightColumns, rows), gain];
  if (report.head !== undefined) {
    const { head } = report;
    lines.push(
      calibrated
        ? `head          ${change([head], "roundedOutputs", "outputs")} of its outputs, likewise`
        : `head          ${change([head], "plainWeights", "weights")} of its weights, likewise`,
    );
  }
  const size = `${(report.bytes / 1e6).toFixed(1)} MB, ${((8 * report.bytes) / report.parameters).toFixed(2)} bits a weight`;
  lines.push(`wrote         ${output}: ${scheme}-g${groupSize}, head in ${headBits} bits, ${size}`, "");
  return lines.join("\n");
}

type Error = Exclude<keyof ProjectionErrors, "projection">;

const percent = (value: number | undefined): string => `${(100 * (value ?? 0)).toFixed(3)} %`;

function change(rows: readonly ProjectionErrors[], before: Error, after: Error): string {
  const mean = (key: Error): number => rows.reduce((sum, errors) => sum + (errors[key] ?? 0), 0) / rows.length;
  const [from, to] = [mean(before), mean(after)];
  return `${percent(from)} → ${percent(to)} (${from > 0 ? `${to > from ? "+" : ""}${((100 * (to - from)) / from).toFixed(0)} %` : "nothing to gain"})`;
}

const column = (title: string, key: Error): Column<ProjectionErrors> => ({
  title,
  cell: (errors) => percent(errors[key]),
  align: "right",
});

const weightColumns: readonly Column<ProjectionErrors>[] = [
  { title: "projection", cell: ({ projection }) => projection },
  column("weights, plain", "plainWeights"),
  column("weights, written", "weights"),
];
const outputColumns: readonly Column<ProjectionErrors>[] = [
  column("outputs, rounded", "roundedOutputs"),
  column("outputs, written", "outputs"),
];
