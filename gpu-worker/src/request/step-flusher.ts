import type { Engine } from "../engine/engine.js";
import type { ResponseQueue } from "./response-queue.js";

/** Flushes, once a step, the queues of all requests that the step brought something for. */
export class StepFlusher {
  private readonly touched = new Set<ResponseQueue>();

  constructor(engine: Engine) {
    engine.onStep(() => this.flush());
  }

  /** The queue has got something in this step. */
  touch(queue: ResponseQueue): void {
    this.touched.add(queue);
  }

  private flush(): void {
    for (const queue of this.touched) queue.flush();
    this.touched.clear();
  }
}
