import { Polygraft } from "@polygraft/client";
import { Status } from "nice-grpc";
import { ErrorInfo, RichServerError } from "nice-grpc-error-details";
import { afterEach, expect, test } from "vitest";
import { accepted, finished, serveScript } from "../../../test/support/scripted-service.js";
import { scoreText } from "./score-text.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

const { signal } = new AbortController();

/** A server with a token for each character, each of log-probability -1, and a context of so many. */
async function connect(context: number): Promise<Polygraft> {
  const tooLong = ErrorInfo.fromPartial({ reason: "PROMPT_TOO_LONG", domain: "polygraft" });
  const server = await serveScript(async function* (request) {
    expect(request.stopping?.maxTokens).toBe(0);
    const text = request.prompt?.$case === "text" ? request.prompt.value : "";
    if (text.length > context) throw new RichServerError(Status.INVALID_ARGUMENT, "too long", [tooLong]);
    yield accepted(request.requestId);
    const tokens = [...text].map((character, index) => ({ tokenId: character.charCodeAt(0), logprob: index === 0 ? 0 : -1 }));
    yield { event: { $case: "promptScores", value: { start: 0, tokens } } };
    yield finished(0);
  });
  const client = new Polygraft({ address: server.address });
  cleanups.push(() => client.close(), () => server.close());
  return client;
}

test("the first token has no predecessor and does not count", async () => {
  const client = await connect(100);
  const score = await scoreText(client, "abc", { signal });
  expect(score).toEqual({
    tokens: [{ id: 97, logprob: null }, { id: 98, logprob: -1 }, { id: 99, logprob: -1 }],
    scoredTokens: 2,
    nll: 2,
    meanNll: 1,
    perplexity: Math.E,
    windows: 1,
  });
});

test.for([undefined, 50])("a text longer than the context is scored in windows (context known: %s)", async (contextLength) => {
  const client = await connect(50);
  const text = "word ".repeat(200);
  const progress: number[] = [];
  const score = await scoreText(client, text, { contextLength, signal, onProgress: (done) => progress.push(done) });
  expect(score.tokens.map(({ id }) => String.fromCharCode(id)).join("")).toBe(text);
  expect(score.scoredTokens).toBe(text.length - score.windows);
  expect(score.windows).toBeGreaterThanOrEqual(text.length / 50);
  expect(progress.at(-1)).toBe(text.length);
});

test("a text of one token cannot be scored", async () => {
  const client = await connect(50);
  await expect(scoreText(client, "a", { signal })).rejects.toThrow("fewer than two tokens");
});
