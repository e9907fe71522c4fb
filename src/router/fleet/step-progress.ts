import type { LoadSample } from "@polygraft/api";

/**
 * Whether a worker's engine gets on. Heartbeats come from another thread than steps, so they go on when the engine
 * hangs; then the step counter stands still although there is work.
 */
export class StepProgress {
  #steps: bigint | undefined;
  #since: number | undefined;

  /** Takes a sample, heard at `now`. Requests that only wait for an adapter are no work for the engine yet. */
  take({ steps, inFlightTokens, runningRequests }: LoadSample, now: number): void {
    const isBusy = (inFlightTokens ?? runningRequests ?? 0) > 0;
    if (steps === undefined || !isBusy) this.#since = undefined;
    else if (steps !== this.#steps || this.#since === undefined) this.#since = now;
    this.#steps = steps;
  }

  /** Counts from the next sample on: what lies before was silence, and says nothing of steps. */
  restart(): void {
    this.#since = undefined;
  }

  /** How long the engine has had work and taken no step, in the caller's unit of time; 0 if it is idle or does not say. */
  stuckFor(now: number): number {
    return this.#since === undefined ? 0 : now - this.#since;
  }
}
