import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findProgram, freePort, Program } from "./program.js";
import type { Relay } from "./relay.js";

/** nginx with one process, `grpc_pass`, and connections to the backend that are kept. */
export const nginx: Relay = {
  name: "nginx",
  missing: () => (findProgram("nginx") === undefined ? "nginx is not installed (Debian: nginx-light)" : undefined),
  async start(backendPort, folder) {
    const port = await freePort();
    const file = join(folder, "nginx.conf");
    await writeFile(file, configuration(port, backendPort, folder));
    const program = new Program("nginx", [findProgram("nginx") ?? "nginx", "-p", folder, "-c", file, "-e", join(folder, "error.log")]);
    await program.accepts(port);
    return { port, processes: () => program.processes(), stop: () => program.stop() };
  },
};

function configuration(port: number, backendPort: number, folder: string): string {
  const scratch = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${folder};`);
  return `
daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/error.log error;
events { worker_connections 4096; }
http {
  access_log off; tcp_nodelay on; ${scratch.join(" ")}
  upstream backend { server 127.0.0.1:${backendPort}; keepalive 512; keepalive_requests 1000000000; }
  server {
    listen 127.0.0.1:${port} http2;
    keepalive_requests 1000000000; http2_max_concurrent_streams 1024;
    location / { grpc_pass grpc://backend; grpc_read_timeout 1h; }
  }
}
`;
}
