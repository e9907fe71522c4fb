import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import { markdownTable } from "../markdown-table.js";
import { Clients } from "./clients.js";
import { DirectClients } from "./direct-clients.js";
import { offer } from "./measure.js";
import type { Asking } from "./clients.js";
import type { Offer, Outcome } from "./measure.js";
import { picture } from "./picture.js";
import { startRouterProcess } from "./router-process.js";
import { startWorkerProcess } from "./worker-process.js";

interface Options {
  readonly seconds: string;
  readonly picture?: string;
  readonly json?: boolean;
}

interface Row extends Outcome {
  readonly way: string;
  /** Offered load as a multiple of the capacity. */
  readonly load: number;
}

const loads = [0.5, 1, 2, 5];
const workers = 2;
const worker = { sequences: 8, queue: 512, stepMillis: 10, tokens: 24 };
/** A request alone takes a quarter of it. */
const deadlineMillis = 4 * worker.tokens * worker.stepMillis;
/** Requests a second that the workers can do. */
const capacity = (workers * worker.sequences * 1000) / (worker.tokens * worker.stepMillis);
const ways = ["polygraft", "direct mode", "no router"];

new Command("bench:overload")
  .description(
    "Offers more than a fleet can do: requests of a Poisson process, each with a deadline of four times what it takes alone,\n" +
      `to ${workers} model workers of ${worker.sequences} sequences (${capacity.toFixed(0)} requests/s in all), through a router, by SDKs in direct mode\nbeside one, and straight to the workers.`,
  )
  .option("--seconds <n>", "length of each load; its first quarter does not count", "8")
  .option("--picture <file>", "writes goodput over load as SVG")
  .option("--json", "print one JSON object a line")
  .addHelpText("after", "\nExample:\n  npm run bench:overload -- --picture docs/overload.svg")
  .action(main)
  .parseAsync()
  .catch((error: Error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });

async function main(options: Options): Promise<void> {
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
  const seconds = Number(options.seconds);
  if (!(seconds >= 1 && seconds <= 3600)) throw new Error(`--seconds must be from 1 to 3600, not ${options.seconds}`);
  const rows: Row[] = [];
  for (const way of ways) {
    for (const load of loads) {
      process.stderr.write(`${way}, ${load} times the capacity\n`);
      const outcome = await measure(way, { requestsPerSecond: load * capacity, seconds, deadlineMillis, tokens: worker.tokens });
      const row = { way, load, ...outcome };
      if (options.json === true) process.stdout.write(`${JSON.stringify(row)}\n`);
      rows.push(row);
    }
  }
  if (options.json !== true) process.stdout.write(table(rows));
  if (options.picture !== undefined) await writeFile(options.picture, picture(ways.map((way) => curve(way, rows)), loads));
  process.exit(0);
}

async function measure(way: string, load: Offer): Promise<Outcome> {
  const isDirect = way === "direct mode";
  const router = way === "no router" ? undefined : await startRouterProcess();
  const fleet: Awaited<ReturnType<typeof startWorkerProcess>>[] = [];
  let clients: Asking | undefined;
  try {
    for (let number = 1; number <= workers; number++) {
      // A router knows what it has sent itself; clients beside it know of each other only by what workers tell.
      const options = { ...worker, name: `worker-${number}`, events: isDirect, tellsLoad: isDirect };
      fleet.push(await startWorkerProcess(router === undefined ? options : { ...options, router: router.address }));
    }
    const addresses = fleet.map(({ address }) => address);
    const { deadlineMillis: deadline, tokens } = load;
    if (router === undefined) clients = new Clients(addresses, deadline, tokens);
    else clients = isDirect ? new DirectClients(router.address, deadline, tokens) : new Clients([router.address], deadline, tokens);
    // What a start costs is not what is measured.
    await offer(clients, { ...load, requestsPerSecond: capacity / 2, seconds: 2 });
    return await offer(clients, load);
  } finally {
    clients?.close();
    for (const each of fleet) await each.stop();
    await router?.stop();
  }
}

function curve(way: string, rows: readonly Row[]) {
  const own = rows.filter((row) => row.way === way);
  return { name: way, points: own.map(({ load, goodput }) => ({ load, goodput: goodput / capacity })) };
}

function table(rows: readonly Row[]): string {
  const header = ["way", "load", "offered/s", "goodput/s", "of the best", "refused/s", "refused after", "late/s", "p50 ms", "p99 ms"];
  const cells = rows.map((row) => [
    row.way,
    `${row.load}×`,
    row.offered.toFixed(1),
    row.goodput.toFixed(1),
    `${((100 * row.goodput) / bestOf(row.way, rows)).toFixed(0)} %`,
    row.refused.toFixed(1),
    row.refused === 0 ? "" : `${row.refusedP50.toFixed(0)} ms`,
    row.late.toFixed(1),
    row.p50.toFixed(0),
    row.p99.toFixed(0),
  ]);
  return markdownTable(header, cells, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}

function bestOf(way: string, rows: readonly Row[]): number {
  return Math.max(...rows.filter((row) => row.way === way).map(({ goodput }) => goodput));
}
