import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findProgram, freePort, Program } from "./program.js";
import type { Relay } from "./relay.js";

/** HAProxy with one thread, HTTP/2 on both sides. */
export const haproxy: Relay = {
  name: "haproxy",
  missing: () => (findProgram("haproxy") === undefined ? "HAProxy is not installed (Debian: haproxy)" : undefined),
  async start(backendPort, folder) {
    const port = await freePort();
    const file = join(folder, "haproxy.cfg");
    await writeFile(file, configuration(port, backendPort));
    const program = new Program("haproxy", [findProgram("haproxy") ?? "haproxy", "-db", "-f", file]);
    await program.accepts(port);
    return { port, processes: () => program.processes(), stop: () => program.stop() };
  },
};

function configuration(port: number, backendPort: number): string {
  return `
global
  nbthread 1
  maxconn 4096
  tune.h2.max-concurrent-streams 1024
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
frontend clients
  bind 127.0.0.1:${port} proto h2
  default_backend workers
backend workers
  http-reuse always
  server worker 127.0.0.1:${backendPort} proto h2
`;
}
