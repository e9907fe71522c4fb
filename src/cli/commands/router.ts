import { Command } from "commander";
import { decimal, hostPort, integer } from "../arguments.js";
import { serveUntilStopped } from "../fleet/serve-until-stopped.js";

interface RouterCommandOptions {
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly workerCa?: string;
  readonly workerTlsName?: string;
  readonly listen: string;
  readonly name?: string;
  readonly processes: number;
  readonly processPort?: number;
  readonly apiKeys?: string;
  readonly tokenSeconds: number;
  readonly signingKeyHours: number;
  readonly maxStreams: number;
  readonly maxQueue: number;
  readonly drainSeconds: number;
  readonly heartbeatSeconds: number;
  readonly suspectSeconds?: number;
  readonly goneSeconds?: number;
  readonly wedgedSeconds?: number;
  readonly epsilon: number;
  readonly floorTokens: number;
  readonly hysteresis: number;
}

/** `polygraft router`: a router, in one process or several. */
export function routerCommand(): Command {
  return new Command("router")
    .summary("run a router")
    .description(
      "Runs a router until Ctrl-C or SIGTERM. Workers join it; clients call it. It prints `listening on HOST:PORT` when it\n" +
        "accepts calls, and its log on standard error, one JSON object a line.",
    )
    .option("-l, --listen <host:port>", "where to listen; port 0 takes a free one", hostPort, "127.0.0.1:50051")
    .option("--name <name>", "name that workers see (default: the host's name)")
    .option("--processes <n>", "processes that share the address, each a router by itself", integer(1, 64), 1)
    .option("--process-port <port>", "workers join each process at its own port, from this one on (default: free ones)", integer(1, 65_535))
    .option("--api-keys <file>", "file with one API key a line; callers and workers must then send one of them")
    .option("--token-seconds <s>", "life of the access tokens that clients in direct mode show to workers", integer(1, 3600), 60)
    .option("--signing-key-hours <h>", "how long the key that signs them does so until it is replaced, without a refused token", decimal(0.01, 500), 24)
    .option("--tls-cert <file>", "certificate chain in PEM: clients must then speak TLS; workers that ask are shown it, too")
    .option("--tls-key <file>", "key of that certificate")
    .option("--tls-client-ca <file>", "authorities: only who has a certificate of theirs may connect, workers that join included")
    .option("--worker-ca <file>", "authorities of the workers' certificates; workers must then speak TLS")
    .option("--worker-tls-name <name>", "name that workers' certificates must have (default: the address' host)")
    .option("--max-streams <n>", "most generations of one base model that run at once", integer(1), 4096)
    .option("--max-queue <n>", "most generations of one base model that wait for their turn; what is more is refused", integer(0), 1024)
    .option("--drain-seconds <s>", "how long running streams may go on after a stop", decimal(0, 86_400), 30)
    .option("--heartbeat-seconds <s>", "longest silence that workers are told to keep", decimal(0.01, 3600), 1)
    .option("--suspect-seconds <s>", "silence after which a worker's streams move on (default: three heartbeats)", decimal(0.01, 86_400))
    .option("--gone-seconds <s>", "silence after which a worker is dropped (default: fifteen heartbeats)", decimal(0.01, 86_400))
    .option("--wedged-seconds <s>", "standstill with requests in flight after which they move on (default: ten heartbeats)", decimal(0.01, 86_400))
    .option("--epsilon <x>", "a worker takes an adapter only below 1 + x times its fair share of the tokens in flight", decimal(1e-3, 1e3), 0.25)
    .option("--floor-tokens <n>", "tokens in flight up to which a worker takes whatever prefers it", integer(0), 4096)
    .option("--hysteresis <x>", "an adapter keeps its workers until its load is below this part of what had them added", decimal(0.01, 1), 0.5)
    .addHelpText("after", "\nExamples:\n  polygraft router\n  polygraft router --listen 0.0.0.0:50051 --api-keys ./keys.txt\n" +
      "  polygraft router --tls-cert router.pem --tls-key router.key --tls-client-ca ca.pem --worker-ca ca.pem\n" +
      "  polygraft router --listen 0.0.0.0:50051 --processes 4 --process-port 50061\n\n" +
      "With --processes, clients and workers need only the one address; workers are told the ports of the processes, on the\n" +
      "same host, and join them all. Bounds such as --max-streams are divided among them. A process that ends is started again.\n\n" +
      "Certificate files and the file of API keys are read again when they change: within ten seconds, without a restart.\n" +
      "A key that is gone lets nobody in any more; streams of text that run end by themselves.")
    .action(router);
}

async function router(parsed: RouterCommandOptions): Promise<void> {
  const { apiKeys, epsilon, floorTokens, hysteresis, heartbeatSeconds, suspectSeconds, goneSeconds, wedgedSeconds, ...more } = parsed;
  // Loaded here, because the other commands start faster without it.
  const { runRouter } = await import("@polygraft/router");
  const options = {
    ...more,
    placement: { epsilon, floorTokens, hysteresis },
    heartbeatMillis: heartbeatSeconds * 1000,
    ...(suspectSeconds === undefined ? {} : { suspectAfterMillis: suspectSeconds * 1000 }),
    ...(goneSeconds === undefined ? {} : { goneAfterMillis: goneSeconds * 1000 }),
    ...(wedgedSeconds === undefined ? {} : { wedgedAfterMillis: wedgedSeconds * 1000 }),
  };
  await serveUntilStopped((signal) => runRouter({ ...options, ...(apiKeys === undefined ? {} : { apiKeysFile: apiKeys }) }, signal));
}
