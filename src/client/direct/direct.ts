import type { GenerateRequest } from "@polygraft/api";
import { PolygraftError } from "../error.js";
import type { Headers } from "../metadata.js";
import type { TlsOptions } from "../options.js";
import type { Transports } from "../transports.js";
import { WorkerConnections } from "./connections.js";
import { DirectRoute } from "./direct-route.js";
import { FleetView } from "./fleet-view.js";
import { Follower } from "./follower.js";
import type { DirectWorker } from "./worker.js";

/** What a client in direct mode works with. */
export interface DirectOptions {
  readonly transports: Transports;
  /** Of the client's calls to routers. */
  readonly headers: readonly (Headers | undefined)[];
  readonly tls: TlsOptions | undefined;
}

/**
 * Direct mode: the client follows the fleet, places its requests itself, and streams from the workers. Whatever it cannot
 * do so goes through a router, as without direct mode.
 */
export class Direct {
  readonly #connections: WorkerConnections;
  readonly #view: FleetView;
  readonly #follower: Follower;

  constructor({ transports, headers, tls }: DirectOptions) {
    this.#connections = new WorkerConnections(tls, transports.encrypted);
    this.#view = new FleetView({
      left: ({ address }) => this.#connections.forget(address),
      suspected: (worker) => {
        abandon(worker);
        // It may be back before its connection is known to be dead.
        this.#connections.forget(worker.address);
      },
    });
    this.#follower = new Follower(transports, headers, this.#view);
  }

  /** Learns of the fleet now, so that the first request need not wait for it. For as long as `deadline` allows, on the clock of `Date`. */
  async connect(deadline: number, signal: AbortSignal): Promise<void> {
    const end = this.#follower.begin();
    await this.#follower.ready(undefined, performance.now() + (deadline - Date.now()), signal);
    end();
  }

  /** The way of one request. To be ended once. */
  route(request: GenerateRequest, headers: readonly (Headers | undefined)[]): DirectRoute {
    return new DirectRoute(request, headers, { view: this.#view, follower: this.#follower, connections: this.#connections });
  }

  close(): void {
    this.#follower.close();
    this.#connections.close();
  }
}

/** The router gives a worker up: its streams move on before TCP notices. */
function abandon({ name, running }: DirectWorker): void {
  const lost = new PolygraftError(`worker "${name}" is silent or takes no steps`, {
    code: "WORKER_LOST",
    status: "UNAVAILABLE",
    retryable: true,
    worker: name,
  });
  for (const call of running) call.abort(lost);
}
