import { Polygraft } from "@polygraft/client";
import { Option } from "commander";
import type { Command } from "commander";
import { routerAddresses } from "../arguments.js";
import { addTlsOptions, clientOptions } from "../client-options.js";
import type { ConnectionOptions } from "../client-options.js";
import { UsageError } from "../exit.js";
import { prefixed } from "../output/prefixed.js";
import { LocalFleet } from "./local-fleet.js";

/** Options of a command that either talks to a running server or starts one for itself. */
export interface ServerOptions extends ConnectionOptions {
  readonly model?: string;
  readonly adapters?: string;
  /** Streams straight from the workers. Default: as the environment says. */
  readonly direct?: boolean;
}

/** Adds these options to a command. */
export function addServerOptions(command: Command): Command {
  const router = new Option("-r, --router <host:port>", 'use a running router or worker; "https://host:port" for TLS; several of one fleet with commas');
  return addTlsOptions(command.addOption(router.argParser(routerAddresses).conflicts("model")))
    .option("-m, --model <dir>", "start a router and a worker on this base model, and stop them at the end")
    .option("--adapters <dir>", "with --model: every PEFT folder below it is an adapter");
}

/** Runs something with a client of the server that the options name; a server of our own is stopped afterwards. */
export async function withServer<T>(
  options: ServerOptions,
  signal: AbortSignal,
  run: (client: Polygraft) => Promise<T>,
): Promise<T> {
  const mode = options.direct === undefined ? {} : { direct: options.direct };
  if (options.model === undefined) {
    if (options.adapters !== undefined) throw new UsageError("--adapters needs --model: a running server has its adapters already");
    await using client = new Polygraft({ ...(await clientOptions(options)), ...mode });
    return await run(client);
  }
  const { model, adapters } = options;
  const onLog = (source: string, text: string): void => void process.stderr.write(prefixed(source, text));
  await using fleet = await LocalFleet.start({ model, adapters, onLog, signal });
  await using client = new Polygraft({ address: fleet.address, ...mode });
  return await Promise.race([run(client), fleet.failed]);
}
