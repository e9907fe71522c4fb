/**
 * Runs a server until Ctrl-C, SIGTERM, or the end of the process that started this one (seen by its IPC channel).
 * The server gets a signal that tells it to finish what it has.
 */
export async function serveUntilStopped(serve: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  process.on("disconnect", stop);
  // The parent may have ended before anybody listened.
  if (process.send !== undefined && !process.connected) stop();
  try {
    await serve(controller.signal);
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    process.off("disconnect", stop);
    // An open channel to the parent would keep this process alive.
    if (process.connected) process.disconnect();
  }
}
