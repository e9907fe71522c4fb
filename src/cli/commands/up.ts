import { Command } from "commander";
import { hostPort, integer } from "../arguments.js";
import { LocalFleet } from "../fleet/local-fleet.js";
import { interruptible, Interrupted } from "../interrupt.js";
import { prefixed } from "../output/prefixed.js";

interface UpOptions {
  readonly model: string;
  readonly adapters?: string;
  readonly workers: number;
  readonly listen: string;
}

/** `polygraft up`: a whole fleet on this machine. */
export function upCommand(): Command {
  return new Command("up")
    .summary("start a router and workers on this machine")
    .description("Starts one router and N workers on this machine. Ctrl-C stops all. A process that ends by itself is started again.")
    .requiredOption("-m, --model <dir>", "folder of the base model (Hugging Face layout)")
    .option("-a, --adapters <dir>", "every PEFT folder below it is an adapter, named after the folder")
    .option("-w, --workers <n>", "worker processes", integer(1, 64), 1)
    .option("-l, --listen <host:port>", "where the router listens", hostPort, "127.0.0.1:50051")
    .argument("[worker options...]", "after --: given to every worker, see `polygraft worker --help`")
    .addHelpText(
      "after",
      `
Examples:
  polygraft up --model ./models/base --adapters ./models/adapters
  polygraft up --model ./llama --workers 2 --listen 0.0.0.0:50051 -- --group 64`,
    )
    .action(up);
}

async function up(workerArguments: string[], options: UpOptions): Promise<void> {
  const onLog = (source: string, text: string): void => void process.stderr.write(prefixed(source, text));
  await interruptible(async (signal) => {
    await using fleet = await LocalFleet.start({ ...options, workerArguments, restart: true, onLog, signal });
    const router = fleet.address === "127.0.0.1:50051" ? "" : ` --router ${fleet.address}`;
    process.stdout.write(`ready: router on ${fleet.address}, ${options.workers} worker(s). Ctrl-C stops all. Try:\n`);
    process.stdout.write(`  polygraft adapters${router}\n  polygraft generate${router} --max-tokens 32 "Hello"\n`);
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    process.stderr.write("stopping: workers finish their streams\n");
  }).catch((error: unknown) => {
    // Ctrl-C is how this command is meant to end.
    if (!(error instanceof Interrupted)) throw error;
  });
}
