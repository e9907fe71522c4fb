import { Polygraft, PolygraftError } from "@polygraft/client";
import type { Asking, Ending } from "./clients.js";

/** Programs that know nothing of each other, so that each sees of the others' load only what workers tell. */
const programs = 4;

const statuses: Readonly<Record<string, number>> = { DEADLINE_EXCEEDED: 4, RESOURCE_EXHAUSTED: 8 };

/** Clients in direct mode, with a deadline and without retries, that take turns. */
export class DirectClients implements Asking {
  readonly #clients: readonly Polygraft[];
  readonly #tokens: number;
  #next = 0;

  /** @param tokens messages of a complete response */
  constructor(router: string, deadlineMillis: number, tokens: number) {
    this.#clients = Array.from({ length: programs }, () => new Polygraft({ address: router, direct: true, retry: false, timeoutMs: deadlineMillis }));
    this.#tokens = tokens;
  }

  async ask(): Promise<Ending> {
    const begun = performance.now();
    const number = this.#next++;
    const client = this.#clients[number % programs]!;
    let received = 0;
    let status = 0;
    try {
      for await (const { type } of client.generate({ adapter: `adapter-${number % 64}`, prompt: "How do I reset my password?" })) {
        if (type === "delta") received += 1;
      }
      if (received !== this.#tokens) status = 14;
    } catch (error) {
      status = (error instanceof PolygraftError ? statuses[error.status] : undefined) ?? 14;
    }
    return { status, millis: performance.now() - begun };
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}
