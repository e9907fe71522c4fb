import { Polygraft } from "@polygraft/client";
import { Latencies } from "./latencies.js";
import type { Seen, TokenLoad } from "./load.js";
import { nowMicros, stampedTextMicros, stampedTextNumber } from "./message.js";

/** Generations through the SDK, so many always running, one client for each connection. */
export class SdkLoad implements TokenLoad {
  readonly #tokens: number;
  readonly #direct: boolean;
  readonly #clients: Polygraft[] = [];
  readonly #latencies = new Latencies();
  #responses = 0;
  #bad = 0;
  #why: string | undefined;
  #closed = false;

  /** @param tokens messages of each response */
  constructor(tokens: number, direct: boolean) {
    this.#tokens = tokens;
    this.#direct = direct;
  }

  async start(port: number, streams: number, connections: number): Promise<void> {
    for (let index = 0; index < connections; index++) {
      this.#clients.push(new Polygraft({ address: `127.0.0.1:${port}`, direct: this.#direct, retry: false, timeoutMs: 0 }));
    }
    for (let index = 0; index < streams; index++) void this.#run(this.#clients[index % connections]!);
  }

  get responses(): number {
    return this.#responses;
  }

  take(): Seen {
    const seen = { latencies: this.#latencies.take(), responses: this.#responses, bad: this.#bad };
    const why = this.#why;
    this.#responses = this.#bad = 0;
    return why === undefined ? seen : { ...seen, why };
  }

  close(): void {
    this.#closed = true;
    for (const client of this.#clients) client.close();
  }

  async #run(client: Polygraft): Promise<void> {
    while (!this.#closed) {
      let received = 0;
      let problem: string | undefined;
      try {
        for await (const event of client.generate({ adapter: "support", prompt: "How do I reset my password?" })) {
          if (event.type !== "delta") continue;
          if (stampedTextNumber(event.text) !== received) problem = "a response had messages out of order";
          received += 1;
          this.#latencies.add(nowMicros() - stampedTextMicros(event.text));
        }
        if (received !== this.#tokens) problem ??= `a response had ${received} of ${this.#tokens} messages`;
      } catch (error) {
        problem = (error as Error).message;
      }
      if (this.#closed) return;
      this.#responses += 1;
      if (problem === undefined) continue;
      this.#bad += 1;
      this.#why ??= problem;
    }
  }
}
