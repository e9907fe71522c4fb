/** Runs one task a key at a time: callers that come while it runs get its result. */
export class SharedTasks<T> {
  private readonly running = new Map<string, Promise<T>>();

  /** The result of the task that runs under `key`, started now unless one does. */
  async run(key: string, task: () => Promise<T>): Promise<T> {
    const running = this.running.get(key);
    if (running) return running;
    const started = task().finally(() => this.running.delete(key));
    this.running.set(key, started);
    return started;
  }
}
