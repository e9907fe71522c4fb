import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Failure } from "../failure.js";
import { Admission } from "./admission.js";
import type { Applicant, Place } from "./admission.js";

/** A request of a test, and what became of it. */
interface Request {
  readonly client: string;
  readonly priority: number;
  readonly order: number;
  place: Place | undefined;
  state: "waiting" | "running" | "refused" | "left";
  failure?: Failure;
}

function admission(running: number, waiting: number, clock = { now: 0 }) {
  const subject = new Admission({ of: "tiny", running: () => running, waiting }, () => clock.now);
  const requests: Request[] = [];
  const apply = (more: Partial<Applicant> = {}): Request => {
    const { client = "a", priority = 0 } = more;
    const request: Request = { client, priority, order: requests.length, place: undefined, state: "waiting" };
    requests.push(request);
    request.place = subject.apply({
      client,
      priority,
      tokens: 10,
      millisLeft: () => undefined,
      granted() {
        expect(request.state).toBe("waiting");
        request.state = "running";
      },
      refused(failure) {
        expect(request.state).toBe("waiting");
        request.state = "refused";
        request.failure = failure;
      },
      ...more,
    });
    return request;
  };
  const leave = (request: Request, served = true) => {
    const before = request.state;
    if (before === "waiting" || before === "running") request.state = "left";
    request.place?.leave(served);
  };
  return { subject, requests, apply, leave, clock };
}

test("places are bounded, never idle while somebody waits, and freed whoever leaves in whatever state", () => {
  const action = fc.oneof(
    fc.record({ kind: fc.constant("apply" as const), client: fc.constantFrom("a", "b", "c"), priority: fc.integer({ min: -1, max: 1 }) }),
    fc.record({ kind: fc.constant("leave" as const), which: fc.nat(50), served: fc.boolean() }),
  );
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.nat(5), fc.array(action, { maxLength: 80 }), (running, waiting, actions) => {
      const { subject, requests, apply, leave } = admission(running, waiting);
      const count = (state: Request["state"]) => requests.filter((request) => request.state === state).length;
      for (const it of actions) {
        if (it.kind === "apply") apply(it);
        else if (requests.length > 0) leave(requests[it.which % requests.length]!, it.served);
        expect([subject.running, subject.waiting]).toEqual([count("running"), count("waiting")]);
        expect(subject.running).toBeLessThanOrEqual(running);
        expect(subject.waiting).toBeLessThanOrEqual(waiting);
        if (subject.waiting > 0) expect(subject.running).toBe(running);
      }
      // Of one client and priority, nobody waits behind somebody who came later.
      for (const late of requests.filter(({ state }) => state === "running")) {
        const peers = requests.filter(({ client, priority }) => client === late.client && priority === late.priority);
        expect(peers.some(({ state, order }) => state === "waiting" && order < late.order)).toBe(false);
      }
      for (const request of requests) leave(request);
      expect([subject.running, subject.waiting]).toEqual([0, 0]);
    }),
  );
});

describe("who goes first", () => {
  test("the higher priority, then who came first", () => {
    const { apply, leave } = admission(1, 10);
    const [first, low, second, high] = [apply(), apply({ priority: -5 }), apply(), apply({ priority: 5 })] as const;
    const order: Request[] = [];
    for (let running = first; ; ) {
      order.push(running);
      leave(running);
      const next = [low, second, high].find(({ state }) => state === "running");
      if (next === undefined) break;
      running = next;
    }
    expect(order).toEqual([first, high, second, low]);
  });

  test("the client with the fewest running, so that a flood waits behind itself", () => {
    const { apply, leave } = admission(2, 100);
    const flood = Array.from({ length: 50 }, () => apply({ client: "flood" }));
    const polite = apply({ client: "polite" });
    leave(flood[0]!);
    expect(polite.state).toBe("running");
  });

  test("a place is handed on when a running request leaves without success, and a waiting one leaves no trace", () => {
    const { apply, leave, subject } = admission(1, 10);
    const [running, gone, next] = [apply(), apply(), apply()] as const;
    leave(gone);
    leave(running, false);
    expect([next.state, subject.waiting]).toEqual(["running", 0]);
  });
});

describe("a full queue", () => {
  test("refuses with a time to come back", () => {
    const { apply } = admission(1, 1);
    apply();
    apply();
    expect(apply().failure).toMatchObject({ status: 8, reason: "QUEUE_FULL", retryAfterMillis: 500 });
  });

  test("lets the lowest priority go for a higher one, the newest of it first", () => {
    const { apply } = admission(1, 2);
    apply();
    const [older, newer] = [apply({ priority: -1 }), apply({ priority: -1 })];
    expect(apply({ priority: 1 }).state).toBe("waiting");
    expect([older.state, newer.state]).toEqual(["waiting", "refused"]);
    expect(apply({ priority: -1 }).state).toBe("refused");
  });

  test("lets a request of the client with the most waiting go for one with fewer", () => {
    const { apply } = admission(1, 3);
    const flood = Array.from({ length: 4 }, () => apply({ client: "flood" }));
    expect(apply({ client: "polite" }).state).toBe("waiting");
    expect(flood.map(({ state }) => state)).toEqual(["running", "waiting", "waiting", "refused"]);
  });
});

describe("a deadline that cannot be met", () => {
  /** One place; a request of 10 tokens has taken 100 ms, another one runs. */
  function busy() {
    const it = admission(1, 10);
    const first = it.apply();
    it.clock.now = 100;
    it.leave(first);
    return { ...it, running: it.apply() };
  }

  test("is refused at once, with the wait as pushback", () => {
    const { apply } = busy();
    expect(apply({ millisLeft: () => 150 }).failure).toMatchObject({
      status: 8,
      message: expect.stringContaining("deadline allows 150 ms"),
      retryAfterMillis: 100,
    });
    expect(apply({ millisLeft: () => 250 }).state).toBe("waiting");
    expect(apply({ firstTokenMillis: 150 }).failure).toMatchObject({ message: expect.stringContaining("ttft_target_millis allows 150 ms") });
  });

  test("is refused after the wait if it took too long, and the next one runs", () => {
    const { apply, leave, running } = busy();
    let left = 250;
    const [late, next] = [apply({ millisLeft: () => left }), apply()];
    left = 50;
    leave(running);
    expect([late.state, next.state]).toEqual(["refused", "running"]);
  });

  test("counts in how much requests differ", () => {
    const { apply, leave, clock, running } = busy();
    const differ = (millis: number, request: Request) => {
      clock.now += millis;
      leave(request);
    };
    differ(20, running);
    for (const millis of [180, 20, 180, 20, 180]) differ(millis, apply());
    apply();
    // They take 100 ms on average, and one comes before.
    const wait = 100;
    expect(apply({ millisLeft: () => wait + 120 }).state).toBe("refused");
    expect(apply({ millisLeft: () => wait + 300 }).state).toBe("waiting");
  });

  test("never keeps anybody from a place that is free", () => {
    const { apply, leave, running } = busy();
    leave(running);
    expect(apply({ millisLeft: () => 1 }).state).toBe("running");
  });
});
