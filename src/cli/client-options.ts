import type { PolygraftOptions } from "@polygraft/client";
import { readCertificates } from "@polygraft/tls";
import { Option } from "commander";
import type { Command } from "commander";
import { routerAddresses } from "./arguments.js";
import { UsageError } from "./exit.js";

/** How a client command reaches its server, as commander parsed it. */
export interface ConnectionOptions {
  readonly router?: string;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsName?: string;
}

/** Adds the options with which a command speaks TLS to a server. */
export function addTlsOptions(command: Command): Command {
  return command
    .addOption(new Option("--tls-ca <file>", "authorities of the certificate of an https:// router, in PEM (default: well-known ones)"))
    .addOption(new Option("--tls-cert <file>", "certificate to show to the router, in PEM"))
    .addOption(new Option("--tls-key <file>", "key of that certificate"))
    .addOption(new Option("--tls-name <name>", "name that the router's certificate must have (default: the address' host)"));
}

/** Adds all options of a command that talks to a running server. */
export function addConnectionOptions(command: Command): Command {
  const router = new Option("-r, --router <host:port>", 'router or worker to talk to; "https://host:port" for TLS; several of one fleet with commas');
  return addTlsOptions(command.addOption(router.env("POLYGRAFT_ADDRESS").argParser(routerAddresses).default("127.0.0.1:50051")));
}

/**
 * The client's options. An absent router is left to the client.
 *
 * @throws UsageError if there are certificates for a server without TLS, TlsFileError if one cannot be used.
 */
export async function clientOptions({ router, tlsCa, tlsCert, tlsKey, tlsName }: ConnectionOptions): Promise<PolygraftOptions> {
  const address = router ?? process.env["POLYGRAFT_ADDRESS"];
  const given = [tlsCa, tlsCert, tlsKey, tlsName].some((option) => option !== undefined);
  if (given && address?.startsWith("https://") !== true) {
    throw new UsageError("--tls-ca, --tls-cert, --tls-key and --tls-name need --router https://HOST:PORT");
  }
  const { ca, cert, key } = await readCertificates({ authorities: tlsCa, certificate: tlsCert, key: tlsKey });
  return {
    // As in the environment: several with commas between.
    ...(router === undefined ? {} : { address: router.split(",") }),
    tls: {
      ...(ca && { rootCertificates: ca }),
      ...(cert && { certificateChain: cert }),
      ...(key && { privateKey: key }),
      ...(tlsName === undefined ? {} : { serverName: tlsName }),
    },
  };
}
