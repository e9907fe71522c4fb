import { Polygraft } from "@polygraft/client";
import { Command } from "commander";
import { hostPort, integer } from "../arguments.js";
import { LocalFleet } from "../fleet/local-fleet.js";
import { interruptible, Interrupted } from "../interrupt.js";
import { prefixed } from "../output/prefixed.js";
import { self } from "../output/self.js";

interface UpOptions {
  readonly model: string;
  readonly adapters?: string;
  readonly workers: number;
  readonly listen: string;
  readonly routerProcesses: number;
}

/** `polygraft up`: a whole fleet on this machine. */
export function upCommand(): Command {
  return new Command("up")
    .summary("start a router and workers on this machine")
    .description("Starts one router and N workers on this machine. Ctrl-C stops all. A process that ends by itself is started again.")
    .requiredOption("-m, --model <dir>", "base model: a Hugging Face folder, or a GGUF file")
    .option("-a, --adapters <dir>", "every PEFT folder below it is an adapter, named after the folder")
    .option("-w, --workers <n>", "worker processes", integer(1, 64), 1)
    .option("--router-processes <n>", "processes of the router, which share its address", integer(1, 64), 1)
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
    const routerArguments = ["--processes", String(options.routerProcesses)];
    await using fleet = await LocalFleet.start({ ...options, routerArguments, workerArguments, restart: true, onLog, signal });
    process.stdout.write(`ready: router on ${fleet.address}, ${options.workers} worker(s). Ctrl-C stops all. Try:\n`);
    for (const line of await suggestions(fleet.address, signal)) process.stdout.write(`  ${self()} ${line}\n`);
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    process.stderr.write("stopping: workers finish their streams\n");
  }).catch((error: unknown) => {
    // Ctrl-C is how this command is meant to end.
    if (!(error instanceof Interrupted)) throw error;
  });
}

/** Command lines to copy, with an adapter of this fleet if it has one. */
async function suggestions(address: string, signal: AbortSignal): Promise<string[]> {
  const router = address === "127.0.0.1:50051" ? "" : ` --router ${address}`;
  await using client = new Polygraft({ address });
  let adapter = "";
  for await (const { identity, error } of client.adapters.list({ signal })) {
    if (error !== undefined) continue;
    adapter = ` --adapter ${identity.id}`;
    break;
  }
  return [`adapters${router}`, `generate${router}${adapter} --max-tokens 32 "Hello"`];
}
