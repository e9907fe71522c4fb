import { Polygraft } from "@polygraft/client";
import { preferenceList, prepareFleet } from "@polygraft/placement";
import { Status } from "nice-grpc";
import { ErrorInfo, RichServerError } from "nice-grpc-error-details";
import { describe, expect, test } from "vitest";
import { listed } from "../support/router-fixture.js";
import { scriptedFleet } from "../support/scripted-fleet.js";
import { accepted, delta, finished, refusal, stuck } from "../support/scripted-service.js";
import type { Script } from "../support/scripted-service.js";
import { callerOf, startScriptedWorker } from "../support/scripted-worker.js";

const names = ["w1", "w2", "w3"];
const adapter = "acme/a";
const [first = "", second = "", third = ""] = preferenceList(prepareFleet(names.map((name) => ({ name }))), adapter);

const ours = `sha256:${"01".repeat(32)}`;
const others = `sha256:${"02".repeat(32)}`;

const says = (status: Status, reason: string) => new RichServerError(status, "says the script", [ErrorInfo.fromPartial({ reason, domain: "polygraft" })]);
const full = refusal(says(Status.RESOURCE_EXHAUSTED, "QUEUE_FULL"));

/** Goes on from the resume point with its name. */
const goesOn =
  (name: string): Script =>
  async function* ({ requestId, resume }) {
    yield accepted(requestId);
    yield delta(name, (resume?.tokenIds.length ?? 0) + 1);
    yield finished(1);
  };

/** Says one token, then that it drains. */
const drains: Script = async function* ({ requestId }) {
  yield accepted(requestId, first);
  yield delta("one ", 1);
  throw says(Status.UNAVAILABLE, "DRAINING");
};

/** A router and workers with these weights, those named playing their own scripts. */
const fleet = (weights: Readonly<Record<string, string>>, scripts: Readonly<Record<string, Script>> = {}) =>
  scriptedFleet(Object.entries(weights).map(([name, digest]) => ({ name, script: scripts[name] ?? goesOn(name), weights: digest })));

const retry = { maxRetries: 1, initialBackoffMs: 1 };
const relayed = "router router-1";

describe("a stream that came straight from a worker", () => {
  test("goes on through the router at a worker of the same weights", async () => {
    await using them = await fleet({ [first]: ours, [second]: others, [third]: ours }, { [first]: drains });
    await using client = new Polygraft({ address: them.router.address, direct: true, retry });
    const generation = client.generate({ prompt: "x", adapter });
    expect(await generation.final()).toMatchObject({ text: `one ${third}`, weights: ours });
    expect(them.worker(third).calls.map(callerOf)).toEqual([relayed]);
    expect(them.called().sort()).toEqual([first, third].sort());
  });

  test("goes on straight at a worker of the weights that its output came from, not of those that were asked first", async () => {
    await using them = await fleet({ [first]: others, [second]: ours, [third]: others }, { [first]: full, [second]: stuck });
    await using client = new Polygraft({ address: them.router.address, direct: true, retry: false });
    let text = "";
    const reading = (async () => {
      for await (const piece of client.generate({ prompt: "x", adapter }).textStream()) {
        text += piece;
        them.worker(second).cut();
        them.worker(second).shut();
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: "NO_WORKER", metadata: { weights: ours } });
    expect(text).toBe("one ");
    expect(them.worker(third).calls).toEqual([]);
  });

  test("is not sent to the worker that it must run at, once that has other weights", async () => {
    await using them = await fleet({ [first]: ours }, { [first]: stuck });
    await using client = new Polygraft({ address: them.router.address, direct: true, retry });
    const pieces = client.generate({ prompt: "x", adapter, routing: { worker: first } }).textStream();
    expect(await pieces.next()).toMatchObject({ value: "one " });
    const { address } = them.router;
    await using again = await startScriptedWorker({ router: address, name: first, epoch: "2", script: goesOn("again"), weights: others });
    await them.worker(first).expelled;
    await listed(them.router, first);
    them.worker(first).shut();
    them.worker(first).cut();
    await expect(pieces.next()).rejects.toMatchObject({ code: "NO_WORKER", metadata: { weights: ours } });
    expect(again.calls).toEqual([]);
  });
});

test("a stream whose router is lost goes on at another one, at a worker of the same weights", async () => {
  await using lost = await fleet({ [first]: ours }, { [first]: stuck });
  await using left = await fleet({ [first]: others, [second]: ours });
  await using client = new Polygraft({ address: [lost.router.address, left.router.address], retry });
  let text = "";
  for await (const piece of client.generate({ prompt: "x", adapter }).textStream()) {
    text += piece;
    if (text === "one ") await lost.router.close();
  }
  expect(text).toBe(`one ${second}`);
  expect(left.worker(second).calls[0]!.context.metadata.get("polygraft-weights")).toBe(ours);
  expect(left.called()).toEqual([second]);
});

test("a stream whose router is lost fails where nobody has its weights, and says so", async () => {
  await using lost = await fleet({ [first]: ours }, { [first]: stuck });
  await using left = await fleet({ [first]: others, [second]: "" });
  await using client = new Polygraft({ address: [lost.router.address, left.router.address], retry });
  let text = "";
  const reading = (async () => {
    for await (const piece of client.generate({ prompt: "x", adapter }).textStream()) {
      text += piece;
      await lost.router.close();
    }
  })();
  await expect(reading).rejects.toMatchObject({ code: "NO_WORKER", message: expect.stringContaining(ours) });
  expect(text).toBe("one ");
  expect(left.called()).toEqual([]);
});

test("before its first output a stream may begin anew at any weights", async () => {
  await using them = await fleet({ [first]: ours, [second]: others }, { [first]: full });
  await using client = new Polygraft({ address: them.router.address, retry });
  expect(await client.generate({ prompt: "x", adapter }).final()).toMatchObject({ text: second, weights: others });
});
