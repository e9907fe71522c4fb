/** Lets tasks wait for something to happen. */
export class Signal {
  private waiters = new Set<() => void>();

  /** Wakes all that wait. */
  notify(): void {
    const waiters = this.waiters;
    this.waiters = new Set();
    for (const wake of waiters) wake();
  }

  /** Resolves at the next `notify`, or after so many milliseconds. */
  async wait(millis: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.waiters.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, millis);
      this.waiters.add(wake);
    });
  }
}
