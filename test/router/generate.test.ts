import { describe, expect, test } from "vitest";
import { hear, inferenceClient, listed, servedBy, temporaryRouter, textRequest } from "../support/router-fixture.js";
import type { Message, Script } from "../support/scripted-service.js";
import { delta, finished } from "../support/scripted-service.js";
import { announcedAdapter, startScriptedWorker } from "../support/scripted-worker.js";

const acceptedBy = (worker: string, requestId = ""): Message => ({
  event: { $case: "accepted", value: { requestId, worker, model: "tiny", promptTokens: 1 } },
});

/** Says its name, then the prompt in reverse, letter by letter. */
const reverser =
  (worker: string): Script =>
  async function* (request) {
    yield acceptedBy(worker, request.requestId);
    const text = request.prompt?.$case === "text" ? request.prompt.value : "";
    const letters = [...text].reverse();
    for (const [index, letter] of letters.entries()) yield delta(letter, index);
    yield finished(letters.length);
  };

describe("a plain generated client", () => {
  test("is served as if the router were a worker", async () => {
    await using router = await temporaryRouter();
    await using worker = await startScriptedWorker({ router: router.address, name: "w1", script: reverser("w1") });
    await listed(router, "w1");
    using connection = inferenceClient(router.address);
    const heard = await hear(connection.client.generate(textRequest("abc")));
    expect(heard.error).toBeUndefined();
    expect(servedBy(heard)).toBe("w1");
    expect(heard.text).toBe("cba");
    expect(worker.calls).toHaveLength(1);
  });
});
