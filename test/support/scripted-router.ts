import { FleetServiceDefinition, type JoinRequest, type JoinResponse } from "@polygraft/api";
import { createServer, type CallContext, type Server } from "nice-grpc";

type Message = NonNullable<JoinRequest["message"]>;
type Kind = Message["$case"];
type Value<K extends Kind> = Extract<Message, { $case: K }>["value"];

/** One stream of a worker, as the router sees it. */
export interface JoinedStream {
  /** `authorization` of the call. */
  readonly authorization: string | undefined;
  /** All that the worker has said. */
  readonly messages: readonly JoinRequest[];
  /** Resolves with the first message of that kind that satisfies `when`, be it said already or not. */
  said<K extends Kind>(kind: K, when?: (value: Value<K>) => boolean): Promise<Value<K>>;
  /** Says something to the worker. */
  say(message: NonNullable<JoinResponse["message"]>): void;
  /** Ends the stream. */
  end(): void;
}

/** A fleet service that greets workers, records what they say, and says what the test tells it to. */
export class ScriptedRouter {
  address = "";
  /** What it claims to know of the worker that joins next. */
  resumeAfter: bigint | undefined;
  private readonly server: Server = createServer();
  private readonly streams: Stream[] = [];
  private readonly waiting: (() => void)[] = [];

  private constructor() {
    this.server.add(FleetServiceDefinition, {
      join: (requests, context) => this.join(requests, context),
      async *watchFleet() {},
    });
  }

  /** Listens on `port`, 0 for a free one. */
  static async start(port = 0): Promise<ScriptedRouter> {
    const router = new ScriptedRouter();
    router.address = `127.0.0.1:${await router.server.listen(`127.0.0.1:${port}`)}`;
    return router;
  }

  /** The stream of that number, from 0, be it here already or not. */
  async stream(index: number): Promise<JoinedStream> {
    while (this.streams.length <= index) {
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
      });
    }
    return this.streams[index] as Stream;
  }

  stop(): void {
    this.server.forceShutdown();
  }

  private async *join(requests: AsyncIterable<JoinRequest>, context: CallContext): AsyncGenerator<JoinResponse> {
    const stream = new Stream(context.metadata.get("authorization"));
    this.streams.push(stream);
    for (const wake of this.waiting.splice(0)) wake();
    void stream.read(requests);
    yield { message: { $case: "welcome", value: { router: "scripted", heartbeatMillis: 200, resumeAfter: this.resumeAfter } } };
    yield* stream.outgoing();
  }
}

class Stream implements JoinedStream {
  readonly authorization: string | undefined;
  readonly messages: JoinRequest[] = [];
  private readonly toSay: JoinResponse[] = [];
  private readonly waiting: (() => void)[] = [];
  private ended = false;

  constructor(authorization: string | undefined) {
    this.authorization = authorization;
  }

  async said<K extends Kind>(kind: K, when: (value: Value<K>) => boolean = () => true): Promise<Value<K>> {
    for (let index = 0; ; index++) {
      while (index >= this.messages.length) await this.change();
      const message = this.messages[index]?.message;
      if (message?.$case === kind && when(message.value as Value<K>)) return message.value as Value<K>;
    }
  }

  say(message: NonNullable<JoinResponse["message"]>): void {
    this.toSay.push({ message });
    this.changed();
  }

  end(): void {
    this.ended = true;
    this.changed();
  }

  async read(requests: AsyncIterable<JoinRequest>): Promise<void> {
    try {
      for await (const request of requests) {
        this.messages.push(request);
        this.changed();
      }
    } catch {
      // the worker has gone
    }
    this.end();
  }

  async *outgoing(): AsyncGenerator<JoinResponse> {
    while (!this.ended) {
      const next = this.toSay.shift();
      if (next) yield next;
      else await this.change();
    }
  }

  private async change(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.waiting.push(resolve);
    });
  }

  private changed(): void {
    for (const wake of this.waiting.splice(0)) wake();
  }
}
