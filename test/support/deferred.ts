/** A promise with its handles: lets a test say when something happens, instead of waiting for a time. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Makes one. */
export function deferred<T = void>(): Deferred<T> {
  let handles!: Omit<Deferred<T>, "promise">;
  const promise = new Promise<T>((resolve, reject) => (handles = { resolve, reject }));
  return { promise, ...handles };
}
