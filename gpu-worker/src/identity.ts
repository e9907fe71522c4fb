/** Who this worker is. The name may come from the port, and so stands only once the server listens. */
export interface WorkerIdentity {
  /** Stable name: placement hashes it. */
  readonly name: string;
  /** Name of the base model that it serves. */
  readonly model: string;
}
