const callbacksOf = new WeakMap<AbortSignal, Set<() => void>>();

/**
 * Calls back when `signal` is aborted; the returned function takes that back. All callbacks of a signal share one
 * listener: a service that passes its shutdown signal to hundreds of calls would otherwise be warned of a leak by Node.js
 * from the eleventh on.
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const callbacks = callbacksOf.get(signal) ?? listen(signal);
  callbacks.add(callback);
  return () => {
    callbacks.delete(callback);
  };
}

function listen(signal: AbortSignal): Set<() => void> {
  const callbacks = new Set<() => void>();
  callbacksOf.set(signal, callbacks);
  signal.addEventListener(
    "abort",
    () => {
      for (const callback of callbacks) callback();
    },
    { once: true },
  );
  return callbacks;
}
