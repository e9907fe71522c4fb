import { AdapterServiceDefinition, InferenceServiceDefinition } from "@polygraft/api";
import { HealthState } from "nice-grpc-server-health";

/** "" is the worker as a whole, as load balancers ask for it. */
const SERVICES = ["", InferenceServiceDefinition.fullName, AdapterServiceDefinition.fullName];

/** What `grpc.health.v1` says: serving from the start, which is after the engine was opened, until the worker drains. */
export class WorkerHealth {
  readonly state = HealthState();
  private drains = false;

  constructor() {
    this.state.setMaxListeners(0); // one a watching client
    this.set("healthy");
  }

  /** Whether the worker drains, so that nothing new is worth beginning. */
  get draining(): boolean {
    return this.drains;
  }

  /** Says "not serving" from now on. */
  drain(): void {
    this.drains = true;
    this.set("unhealthy");
  }

  private set(status: "healthy" | "unhealthy"): void {
    for (const service of SERVICES) this.state.setStatus(status, service);
  }
}
