/** Aborts work that has been silent for too long. Work that goes on slowly is let be. */
export class IdleTimeout {
  private readonly controller = new AbortController();
  private readonly timer: NodeJS.Timeout;

  constructor(millis: number) {
    this.timer = setTimeout(() => {
      this.controller.abort(new Error(`silent for more than ${millis} ms`));
    }, millis);
  }

  /** Aborted after the silence. */
  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** Something came: the silence starts anew. */
  touch(): void {
    this.timer.refresh();
  }

  /** The work is done. */
  stop(): void {
    clearTimeout(this.timer);
  }
}
