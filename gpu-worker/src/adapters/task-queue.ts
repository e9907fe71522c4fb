/** Runs tasks, at most so many at a time, first come first served. */
export class TaskQueue {
  private readonly waiting: (() => void)[] = [];
  private free: number;

  /** `width`: tasks at a time. */
  constructor(width: number) {
    this.free = width;
  }

  /** The result of `task`, which runs as soon as there is room for it. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => void this.waiting.push(resolve));
    try {
      return await task();
    } finally {
      // The place goes straight to the next in line, so that nobody can slip in between.
      const next = this.waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}
