import type { WorkerOptions } from "@polygraft/worker";
import { Command, Option } from "commander";
import { byteSize, decimal, hostPort, integer, oneOf, repeated, routerAddress } from "../arguments.js";
import { serveUntilStopped } from "../fleet/serve-until-stopped.js";

/** Flags are named as the options of the worker, so what commander parsed is what the worker takes. */
type WorkerCommandOptions = Omit<WorkerOptions, "apiKey" | "hubToken" | "memoryBytes"> & { readonly memory?: number };

/** `polygraft worker`: one worker process. */
export function workerCommand(): Command {
  const command = new Command("worker")
    .summary("run a worker")
    .description(
      "Runs a worker until Ctrl-C or SIGTERM: it loads the model, joins its routers and serves. It prints\n" +
        "`listening on HOST:PORT` when it does, and its log on standard error, one JSON object a line.",
    )
    .requiredOption("-m, --model <dir>", "base model: a Hugging Face folder, or a GGUF file")
    .option("-a, --adapters <dir>", "every PEFT folder below it is an adapter; may be given several times", repeated((dir) => dir))
    .option("-j, --join <host:port>", 'router to join, or "https://host:port"; may be given several times; a name stands for all routers that it resolves to', repeated(routerAddress))
    .option("-l, --listen <host:port>", "where to listen; port 0 takes a free one", hostPort, "127.0.0.1:0")
    .option("--advertise <host:port>", "address that routers are told (default: the one it listens on)", hostPort)
    .option("--name <name>", "stable name, which placement hashes (default: host:port)")
    .option("--model-name <name>", "name of the base model (default: the folder's name)")
    .option("--require-token", "refuse calls without an access token of its routers (default: if a router asks for API keys)")
    .option("--weight <x>", "share of the fleet's work, against the other workers' (default: 1)", decimal(0, 1e6))
    .option("--zone <name>", "failure domain");
  for (const option of [...engineOptions(), ...adapterOptions(), ...accessOptions()]) command.addOption(option);
  return command
    .option("--hand-over-seconds <s>", "longest wait for adapters to be loaded here at the start, elsewhere at the end (default: 10)", decimal(0, 3600))
    .option("--drain-seconds <s>", "how long running streams may go on after a stop (default: 30)", decimal(0, 86_400))
    .addHelpText(
      "after",
      `
Examples:
  polygraft worker --model ./models/base --adapters ./models/adapters --join 127.0.0.1:50051
  polygraft worker --model ./llama --listen 0.0.0.0:50061 --advertise 10.0.0.5:50061 --join router:50051 --group 64
  polygraft worker --model ./llama --allow-hub acme/* --hub-cache-bytes 20G
  polygraft worker --model ./llama --tls-cert w.pem --tls-key w.key --router-ca ca.pem --join https://router:50051

Sizes take K, M, G and T. The environment variables POLYGRAFT_API_KEY and HF_TOKEN hold the keys for router and hub.`,
    )
    .action(worker);
}

function engineOptions(): Option[] {
  return [
    new Option("--threads <n>", "threads of the engine (default: one for each core)").argParser(integer(1, 1024)),
    new Option("--scheme <name>", "how weights are held (default: as a quantized file has them, else w4)").choices(["w4", "nf4", "w8", "f32"]),
    new Option("--group-size, --group <n>", "weights that share a scale: 32, 64 or 128 (default: 32)").argParser(oneOf(32, 64, 128)),
    new Option("--head-bits <n>", "bits of embedding and output head: 4, 8 or 32 (default: 8)").argParser(oneOf(4, 8, 32)),
    new Option("--activations <name>", "how activations enter a quantized layer (default: int8)").choices(["int8", "f32"]),
    new Option("--kv-type <name>", "what keys and values are stored as; int8 is half of f16 (default: f16)").choices(["f16", "f32", "int8"]),
    new Option("--isa <name>", "instruction set (default: the best that the CPU has)").choices(["scalar", "avx2", "avx512vnni", "avx512amx"]),
    new Option("--max-context <n>", "most tokens of prompt and output (default: the model's, at most 8192)").argParser(integer(1)),
    new Option("--max-sequences <n>", "most sequences in one step (default: 64)").argParser(integer(1)),
    new Option("--max-step-tokens <n>", "most tokens in one step (default: 512)").argParser(integer(1)),
    new Option("--max-prefill-tokens <n>", "most prompt tokens in a step in which others decode (default: 64)").argParser(
      integer(1),
    ),
    new Option("--max-queue <n>", "most requests that wait (default: 1024)").argParser(integer(0)),
    new Option("--memory <size>", "memory of the whole worker; other sizes are planned from it").argParser(byteSize),
    new Option("--kv-bytes <size>", "memory for keys and values (default: by need, at most 1G)").argParser(byteSize),
    new Option("--no-prefix-cache", "computes every prompt in full (default: prompts that begin alike share their beginning)"),
    new Option("--cache-dir <dir>", "keeps quantized weights and fetched adapters (default: in the user's cache folder)"),
  ];
}

function adapterOptions(): Option[] {
  return [
    new Option("--adapter-type <name>", "what adapters are held as on the device; int8 is half of bf16 (default: source, as in their files)").choices(["source", "int8"]),
    new Option("--adapter-bytes <size>", "memory for adapters on the device (default: 512M)").argParser(byteSize),
    new Option("--host-adapter-bytes <size>", "host memory for adapters (default: 2G)").argParser(byteSize),
    new Option("--allow-hub [repos...]", 'adapters may come from "hf://": all, or those of "org/repo" or "org/*"'),
    new Option("--hub-url <url>", "the hub (default: https://huggingface.co)"),
    new Option("--hub-cache-bytes <size>", "disk for fetched adapters (default: 20G)").argParser(byteSize),
    new Option("--adapter-wait-seconds <s>", "longest wait for room for an adapter (default: 10)").argParser(decimal(0, 3600)),
    new Option("--adapter-turn-seconds <s>", "how long an adapter in use stays when parked ones want its room; 0: to its end (default: 1)").argParser(decimal(0, 3600)),
    new Option("--rescan-seconds <s>", "time between looks for new adapters (default: 30)").argParser(decimal(0, 86_400)),
  ];
}

function accessOptions(): Option[] {
  return [
    new Option("--api-key-file <file>", "key for routers that ask for one, read each time that it joins (default: POLYGRAFT_API_KEY)"),
    new Option("--tls-cert <file>", "certificate chain in PEM: callers must then speak TLS; routers that ask are shown it, too"),
    new Option("--tls-key <file>", "key of that certificate"),
    new Option("--tls-client-ca <file>", "authorities: only who has a certificate of theirs may call"),
    new Option("--router-ca <file>", "authorities of the certificates of https:// routers (default: well-known ones)"),
    new Option("--router-tls-name <name>", "name that routers' certificates must have (default: the address' host)"),
  ];
}

async function worker({ memory, ...options }: WorkerCommandOptions): Promise<void> {
  // Loaded here, because the other commands start faster without the engine.
  const { runWorker } = await import("@polygraft/worker");
  const { POLYGRAFT_API_KEY: apiKey, HF_TOKEN: hubToken } = process.env;
  const keys = { ...(apiKey && options.apiKeyFile === undefined ? { apiKey } : {}), ...(hubToken ? { hubToken } : {}) };
  const plan = memory === undefined ? {} : { memoryBytes: memory };
  await serveUntilStopped((signal) => runWorker({ ...options, ...plan, ...keys }, signal));
}
