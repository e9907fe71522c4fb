import { AdapterServiceDefinition, FleetServiceDefinition, InferenceServiceDefinition, WorkerState } from "@polygraft/api";
import { HealthState } from "nice-grpc-server-health";
import type { Fleet, FleetListener } from "../fleet/fleet.js";

/** Services that need a worker. "" is the router as a whole, as load balancers ask for it. */
const dependent = ["", InferenceServiceDefinition.fullName, AdapterServiceDefinition.fullName];

/**
 * What `grpc.health.v1` says. Inference, adapters and the whole serve while at least one worker is ready; the fleet
 * service serves as long as the router runs, so that "is it up" can be told from "can it serve".
 */
export class RouterHealth implements FleetListener {
  readonly state = HealthState();
  readonly #fleet: Fleet;
  #stopped = false;

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    this.state.setMaxListeners(0);
    this.#update();
  }

  changed(): void {
    this.#update();
  }

  left(): void {
    this.#update();
  }

  /** Says "not serving" from now on. */
  stop(): void {
    this.#stopped = true;
    this.#update();
  }

  #update(): void {
    const { members } = this.#fleet.view;
    const ready = members.some(({ state }) => state === WorkerState.READY);
    const serving = ready && !this.#stopped;
    for (const service of dependent) this.state.setStatus(serving ? "healthy" : "unhealthy", service);
    this.state.setStatus(this.#stopped ? "unhealthy" : "healthy", FleetServiceDefinition.fullName);
  }
}
