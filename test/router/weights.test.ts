import { preferenceList, prepareFleet } from "@polygraft/placement";
import { Metadata, Status } from "nice-grpc";
import { ErrorInfo, RichServerError } from "nice-grpc-error-details";
import { expect, test } from "vitest";
import { deferred } from "../support/deferred.js";
import { errorInfo, hear, inferenceClient, textRequest } from "../support/router-fixture.js";
import { scriptedFleet } from "../support/scripted-fleet.js";
import { accepted, delta, finished, refusal, stuck } from "../support/scripted-service.js";
import type { Script } from "../support/scripted-service.js";

const names = ["w1", "w2", "w3", "w4"];
const adapter = "acme/a";
const [first = "", second = "", third = "", fourth = ""] = preferenceList(prepareFleet(names.map((name) => ({ name }))), adapter);

const digestOf = (byte: string) => `sha256:${byte.repeat(32)}`;
const ours = digestOf("01");
const others = digestOf("02");

/** Says its name. */
const answer =
  (name: string): Script =>
  async function* ({ requestId }) {
    yield accepted(requestId);
    yield delta(name, 1);
    yield finished(1);
  };

const full = refusal(new RichServerError(Status.RESOURCE_EXHAUSTED, "full", [ErrorInfo.fromPartial({ reason: "QUEUE_FULL", domain: "polygraft" })]));

/** A router and workers with these weights, those named playing their own scripts. */
async function fleet(weights: Readonly<Record<string, string>>, scripts: Readonly<Record<string, Script>> = {}) {
  const members = Object.entries(weights).map(([name, digest]) => ({ name, script: scripts[name] ?? answer(name), weights: digest }));
  const scripted = await scriptedFleet(members);
  const { client, ...connection } = inferenceClient(scripted.router.address);
  return {
    ...scripted,
    client,
    /** The call of a client that has output of these weights. */
    resume: (digest: string, worker = "") =>
      hear(
        client.generate(
          { ...textRequest("x", adapter), resume: { tokenIds: [1], textBytes: 4 }, routing: { key: "", worker } },
          { metadata: Metadata({ "polygraft-weights": digest }) },
        ),
      ),
    async [Symbol.asyncDispose]() {
      connection[Symbol.dispose]();
      await scripted[Symbol.asyncDispose]();
    },
  };
}

test("a response names the weights that it comes from", async () => {
  await using them = await fleet({ [first]: ours, [second]: others });
  const header = deferred<Metadata>();
  await hear(them.client.generate(textRequest("x", adapter), { onHeader: header.resolve }));
  expect((await header.promise).get("polygraft-weights")).toBe(ours);
});

test("a worker that does not say which weights it serves has none in its responses", async () => {
  await using them = await fleet({ [first]: "" });
  const header = deferred<Metadata>();
  await hear(them.client.generate(textRequest("x", adapter), { onHeader: header.resolve }));
  expect((await header.promise).has("polygraft-weights")).toBe(false);
});

test("a stream that began elsewhere goes on at a worker of its weights alone", async () => {
  await using them = await fleet({ [first]: others, [second]: "", [third]: ours, [fourth]: ours });
  expect((await them.resume(ours)).text).toBe(third);
  expect(them.called()).toEqual([third]);
});

test("where its weights are gone, it fails and says so", async () => {
  await using them = await fleet({ [first]: others, [second]: "" });
  for (const worker of ["", first]) {
    const { error } = await them.resume(ours, worker);
    expect(error).toMatchObject({ code: Status.UNAVAILABLE, details: expect.stringContaining(`no worker is left to try that serves the weights ${ours}`) });
    expect(errorInfo(error)).toEqual({ reason: "NO_WORKER", metadata: { weights: ours } });
  }
  expect(them.called()).toEqual([]);
});

test.each([
  ["empty", ""],
  ["no digest", "01"],
  ["two digests", `${ours}, ${others}`],
  ["far too long", "x".repeat(8000)],
])("a header that is %s is refused, by its name", async (_, value) => {
  await using them = await fleet({ [first]: ours });
  const { error } = await them.resume(value);
  expect(error).toMatchObject({ code: Status.INVALID_ARGUMENT, details: expect.stringContaining("polygraft-weights") });
  expect(errorInfo(error)?.reason).toBe("INVALID_FIELD");
  expect(them.called()).toEqual([]);
});

test("after a refusal by other weights, the stream goes on with those that its output came from", async () => {
  const weights = { [first]: others, [second]: ours, [third]: others, [fourth]: ours };
  await using them = await fleet(weights, { [first]: full, [second]: stuck });
  const hearing = hear(
    (async function* () {
      for await (const event of them.client.generate(textRequest("x", adapter))) {
        yield event;
        if (event.event?.$case === "delta") them.worker(second).cut();
      }
    })(),
  );
  const { error, text } = await hearing;
  expect([error, text]).toEqual([undefined, `one ${fourth}`]);
  expect(them.worker(third).calls).toEqual([]);
  expect(them.worker(fourth).calls[0]!.context.metadata.get("polygraft-weights")).toBe(ours);
});

test("a stream whose weights are gone is lost, and its client is told why nobody goes on", async () => {
  await using them = await fleet({ [first]: ours, [second]: others }, { [first]: stuck });
  const { error, text } = await hear(
    (async function* () {
      for await (const event of them.client.generate(textRequest("x", adapter))) {
        yield event;
        if (event.event?.$case === "delta") them.worker(first).cut();
      }
    })(),
  );
  expect(text).toBe("one ");
  expect(errorInfo(error)).toEqual({ reason: "WORKER_LOST", metadata: { worker: first } });
  expect(error).toMatchObject({ details: expect.stringContaining(`no worker is left to try that serves the weights ${ours}`) });
  expect(them.called()).toEqual([first]);
});
