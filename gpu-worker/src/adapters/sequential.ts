/** Runs tasks one after another, first come first served. */
export class Sequential {
  private last: Promise<unknown> = Promise.resolve();

  /** The result of `task`, which runs when all before it have ended, well or not. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.last.then(task);
    this.last = result.catch(() => {});
    return result;
  }
}
