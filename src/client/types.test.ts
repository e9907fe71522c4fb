import { expectTypeOf, test } from "vitest";
import { Polygraft, PolygraftError } from "./index.js";
import type {
  DeltaEvent,
  FinishReason,
  FinishedEvent,
  GenerateRequest,
  Generation,
  GenerationEvent,
  GenerationResult,
  PolygraftErrorCode,
} from "./index.js";

// These hold at compile time (`tsc -p test`); running them only shows that nothing else is meant.
test("events are told apart by type", () => {
  const read = (event: GenerationEvent): string => {
    switch (event.type) {
      case "accepted":
        return event.worker;
      case "prompt-scores":
        return String(event.start);
      case "delta":
        expectTypeOf(event).toEqualTypeOf<DeltaEvent>();
        return event.text;
      case "adapter-changed":
        return event.adapter.digest;
      case "finished":
        expectTypeOf(event).toEqualTypeOf<FinishedEvent>();
        return event.reason;
    }
  };
  expectTypeOf(read).returns.toBeString();
});

test("a generation is iterable and gives text and result", () => {
  expectTypeOf<Polygraft["generate"]>().returns.toEqualTypeOf<Generation>();
  expectTypeOf<Generation>().toExtend<AsyncIterable<GenerationEvent>>();
  expectTypeOf<Generation["text"]>().returns.resolves.toBeString();
  expectTypeOf<Generation["final"]>().returns.resolves.toEqualTypeOf<GenerationResult>();
  expectTypeOf<GenerationResult["finishReason"]>().toEqualTypeOf<FinishReason>();
  expectTypeOf<Polygraft>().toExtend<AsyncDisposable>();
});

test("wrong requests do not compile", () => {
  const requests: GenerateRequest[] = [
    { prompt: "x", adapter: "a@v1", seed: 1n },
    { prompt: [1, 2], adapter: { id: "a" }, stop: "\n" },
    { prompt: [{ role: "user", content: "hi" }], constraint: { choices: ["yes", "no"] } },
    // @ts-expect-error a prompt is required
    {},
    // @ts-expect-error no such field
    { prompt: "x", max_tokens: 3 },
    // @ts-expect-error undefined is not a value under exactOptionalPropertyTypes
    { prompt: "x", temperature: undefined },
    // @ts-expect-error no such policy
    { prompt: "x", onMiss: "later" },
  ];
  expectTypeOf(requests).items.toEqualTypeOf<GenerateRequest>();
});

test("error codes are suggested, and open to what newer servers say", () => {
  expectTypeOf<"QUEUE_FULL" | "INVALID_REQUEST" | "UNAVAILABLE" | "SOMETHING_NEW">().toExtend<PolygraftErrorCode>();
  expectTypeOf(PolygraftError).instance.toHaveProperty("retryable").toBeBoolean();
});
