import { Polygraft } from "@polygraft/client";
import type { Adapter } from "@polygraft/client";
import { Command } from "commander";
import { addConnectionOptions, clientOptions } from "../client-options.js";
import type { ConnectionOptions } from "../client-options.js";
import { interruptible } from "../interrupt.js";
import { Stdout } from "../output/stdout.js";
import { formatTable } from "../output/table.js";
import type { Column } from "../output/table.js";

/** `polygraft adapters`: which there are, where, and bringing them there. */
export function adaptersCommand(): Command {
  return addConnectionOptions(new Command("adapters"))
    .summary("list adapters and where they are")
    .description("Lists the adapters that the fleet knows, and the workers that hold them.")
    .argument("[prefix]", "only names that begin with this", "")
    .option("--json", "print one JSON object a line")
    .addHelpText(
      "after",
      `
Examples:
  polygraft adapters
  polygraft adapters acme/ --json | jq -r .identity.id
  polygraft adapters load acme/support --in-place`,
    )
    .action(adapters)
    .addCommand(loadCommand())
    .addCommand(unloadCommand());
}

function loadCommand(): Command {
  return addConnectionOptions(new Command("load"))
    .summary("bring an adapter to the device ahead of its first request")
    .description(
      "Brings an adapter to the device of the worker that would serve it. With --in-place, streams that run with an earlier\n" +
        "content of the name go on with the present one from their next token on, on every worker; without it they keep what\n" +
        "they have to their ends. Streams that asked for a revision or a digest keep it in either case.",
    )
    .argument("<name>", "the adapter, as NAME or NAME@REVISION")
    .option("--in-place", "move running streams of the name to its present content")
    .option("--pin", "keep it on the device")
    .action(async (name: string, options: ConnectionOptions & { readonly inPlace?: boolean; readonly pin?: boolean }) => {
      const swap = options.inPlace === true ? "in-place" : "drain";
      await change(options, (client, signal) => client.adapters.load(name, { swap, pin: options.pin === true, signal }));
    });
}

function unloadCommand(): Command {
  return addConnectionOptions(new Command("unload"))
    .summary("take an adapter off device and host memory")
    .description("Takes an adapter off device and host memory of all workers. Streams that use it finish first.")
    .argument("<name>", "the adapter, as NAME or NAME@REVISION")
    .action(async (name: string, options: ConnectionOptions) => {
      await change(options, (client, signal) => client.adapters.unload(name, { signal }));
    });
}

/** Does something to an adapter and shows how it is then. */
async function change(options: ConnectionOptions, work: (client: Polygraft, signal: AbortSignal) => Promise<Adapter>): Promise<void> {
  await using client = new Polygraft(await clientOptions(options));
  await interruptible(async (signal) => {
    await new Stdout().write(formatTable(columns, [await work(client, signal)]));
  });
}

async function adapters(prefix: string, options: ConnectionOptions & { readonly json?: boolean }): Promise<void> {
  await using client = new Polygraft(await clientOptions(options));
  await interruptible(async (signal) => {
    const output = new Stdout();
    const found: Adapter[] = [];
    for await (const adapter of client.adapters.list({ prefix, signal })) {
      if (options.json === true) await output.write(toJson(adapter));
      else found.push(adapter);
    }
    if (options.json === true) return;
    const nothing = prefix === "" ? "There are no adapters. Give workers a folder of them with --adapters DIR.\n" : "";
    await output.write(found.length === 0 ? nothing : formatTable(columns, found));
  });
}

const columns: readonly Column<Adapter>[] = [
  { title: "adapter", cell: ({ identity }) => identity.id },
  { title: "revision", cell: ({ identity }) => identity.revision || "-" },
  { title: "rank", cell: ({ rank }) => (rank === 0 ? "-" : String(rank)), align: "right" },
  { title: "changes", cell: ({ targetModules }) => targetModules.map((name) => name.replace("_proj", "")).join(",") || "-" },
  { title: "size", cell: ({ bytes }) => (bytes === 0n ? "-" : `${(Number(bytes) / 2 ** 20).toFixed(1)} MiB`), align: "right" },
  { title: "digest", cell: ({ identity }) => identity.digest.slice(0, 15) || "-" },
  { title: "where", cell: whereabouts },
];

function whereabouts({ error, residency }: Adapter): string {
  if (error !== undefined) return `cannot be served: ${error}`;
  return residency.map(({ worker, tier, pinned }) => `${worker}:${tier ?? "?"}${pinned ? " (pinned)" : ""}`).join(" ") || "source";
}

function toJson(adapter: Adapter): string {
  return JSON.stringify(adapter, (_, value: unknown) => (typeof value === "bigint" ? Number(value) : value)) + "\n";
}
