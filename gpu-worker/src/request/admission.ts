import { Failure } from "../failure.js";

const RETRY_MILLIS = 1000;

/** Who may come in: bounds the requests in the house, and turns all away once the worker drains. */
export class Admission {
  private readonly most: number;
  private inside = 0;
  private draining = false;
  private readonly emptied: (() => void)[] = [];

  /** `most`: requests that run, wait in the engine or wait for an adapter. */
  constructor(most: number) {
    this.most = most;
  }

  /** Requests in the house. */
  get active(): number {
    return this.inside;
  }

  /** Lets a request in. Call the result, once, when it has ended. Throws if the house is full or closing. */
  enter(): () => void {
    if (this.draining) {
      throw new Failure("DRAINING", "the worker is shutting down; another one will serve a retry", { retryAfterMillis: 0 });
    }
    if (this.inside >= this.most) {
      const message = `the worker is full: ${this.most} requests run or wait; try again later`;
      throw new Failure("QUEUE_FULL", message, { retryAfterMillis: RETRY_MILLIS });
    }
    this.inside++;
    return () => {
      this.inside--;
      if (this.inside === 0) for (const resolve of this.emptied.splice(0)) resolve();
    };
  }

  /** Lets nobody in any more. Resolves when the last request has ended. */
  async drain(): Promise<void> {
    this.draining = true;
    if (this.inside === 0) return;
    await new Promise<void>((resolve) => {
      this.emptied.push(resolve);
    });
  }
}
