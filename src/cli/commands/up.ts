import { Polygraft } from "@polygraft/client";
import { Command } from "commander";
import { hostPort, integer } from "../arguments.js";
import { clientOptions } from "../client-options.js";
import type { ConnectionOptions } from "../client-options.js";
import { argumentsOf } from "../fleet/fleet-tls.js";
import type { FleetTls } from "../fleet/fleet-tls.js";
import { LocalFleet } from "../fleet/local-fleet.js";
import { interruptible, Interrupted } from "../interrupt.js";
import { prefixed } from "../output/prefixed.js";
import { quoted } from "../output/quoted.js";
import { self } from "../output/self.js";

interface UpOptions extends FleetTls {
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
    .option("--tls-cert <file>", "the router's certificate chain in PEM: clients and workers must then speak TLS to it")
    .option("--tls-key <file>", "key of that certificate")
    .option("--tls-client-ca <file>", "authorities: only who has a certificate of theirs may connect to the router, workers included")
    .option("--router-ca <file>", "authorities of the router's certificate, for workers and what this command prints (default: well-known ones)")
    .option("--router-tls-name <name>", "name that the router's certificate must have (default: the host it listens on)")
    .option("--worker-tls-cert <file>", "the workers' certificate chain in PEM: their callers must then speak TLS; the router that asks is shown it, too")
    .option("--worker-tls-key <file>", "key of that certificate")
    .option("--worker-tls-client-ca <file>", "authorities: only who has a certificate of theirs may call a worker; the router shows its own")
    .option("--worker-ca <file>", "authorities of the workers' certificates; workers must then speak TLS (default: well-known ones, where workers do)")
    .option("--worker-tls-name <name>", "name that the workers' certificate must have (default: the host they listen on)")
    .argument("[worker options...]", "after --: given to every worker, see `polygraft worker --help`")
    .addHelpText(
      "after",
      `
Examples:
  polygraft up --model ./models/base --adapters ./models/adapters
  polygraft up --model ./llama --workers 2 --listen 0.0.0.0:50051 -- --group 64
  polygraft up --model ./llama --tls-cert router.pem --tls-key router.key --router-ca ca.pem
  polygraft up --model ./llama --tls-cert router.pem --tls-key router.key --tls-client-ca ca.pem --router-ca ca.pem \\
    --worker-tls-cert worker.pem --worker-tls-key worker.key --worker-tls-client-ca ca.pem --worker-ca ca.pem

The last one asks both ends of every connection for a certificate (mTLS).`,
    )
    .action(up);
}

async function up(workerArguments: string[], options: UpOptions): Promise<void> {
  const onLog = (source: string, text: string): void => void process.stderr.write(prefixed(source, text));
  await interruptible(async (signal) => {
    const routerArguments = ["--processes", String(options.routerProcesses)];
    await using fleet = await LocalFleet.start({ ...options, tls: options, routerArguments, workerArguments, restart: true, onLog, signal });
    process.stdout.write(`ready: router on ${fleet.address}, ${options.workers} worker(s). Ctrl-C stops all. Try:\n`);
    for (const line of await suggestions(fleet.connection, signal)) process.stdout.write(`  ${self()} ${line}\n`);
    await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    process.stderr.write("stopping: workers finish their streams\n");
  }).catch((error: unknown) => {
    // Ctrl-C is how this command is meant to end.
    if (!(error instanceof Interrupted)) throw error;
  });
}

/** Command lines to copy, with an adapter of this fleet if it has one. */
async function suggestions(connection: ConnectionOptions, signal: AbortSignal): Promise<string[]> {
  const { router, tlsCa, tlsName, tlsCert, tlsKey } = connection;
  const options = {
    "--router": router === "127.0.0.1:50051" ? undefined : router,
    "--tls-ca": tlsCa,
    "--tls-name": tlsName,
    "--tls-cert": tlsCert,
    "--tls-key": tlsKey,
  };
  const reaching = argumentsOf(options).map((argument) => ` ${quoted(argument)}`).join("");
  await using client = new Polygraft(await clientOptions(connection));
  let adapter = "";
  for await (const { identity, error } of client.adapters.list({ signal })) {
    if (error !== undefined) continue;
    adapter = ` --adapter ${quoted(identity.id)}`;
    break;
  }
  return [`adapters${reaching}`, `generate${reaching}${adapter} --max-tokens 32 "Hello"`];
}
