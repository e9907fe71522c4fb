import fc from "fast-check";
import { BadRequest, ErrorInfo, RetryInfo } from "nice-grpc-error-details";
import { Status } from "nice-grpc-error-details/lib/proto/google/rpc/status.js";
import { expect, test } from "vitest";
import { failureDetails } from "../failure.js";
import type { Failure } from "../failure.js";
import { encodeStatusDetails, reasonOf } from "./status-details.js";
import { failureTrailers, percentEncode } from "./trailers.js";

const failure: Failure = {
  status: 8,
  message: "zu voll: 100 %",
  reason: "QUEUE_FULL",
  metadata: { worker: "w1" },
  violations: [{ field: "a.b", description: "too big" }],
  retryAfterMillis: 1500,
};

test("others read what we write", () => {
  const text = encodeStatusDetails(8, failure.message, failureDetails(failure));
  const status = Status.decode(Buffer.from(text, "base64"));
  expect([status.code, status.message]).toEqual([8, failure.message]);
  const [info, bad, retry] = status.details;
  expect(ErrorInfo.decode(info?.value ?? new Uint8Array())).toMatchObject({
    reason: "QUEUE_FULL",
    domain: "polygraft",
    metadata: { worker: "w1" },
  });
  expect(BadRequest.decode(bad?.value ?? new Uint8Array()).fieldViolations).toMatchObject(failure.violations ?? []);
  expect(RetryInfo.decode(retry?.value ?? new Uint8Array()).retryDelay).toMatchObject({ seconds: 1, nanos: 5e8 });
});

test("we read the reason of what others write", () => {
  expect(reasonOf(encodeStatusDetails(8, "", failureDetails(failure)))).toBe("QUEUE_FULL");
  expect(reasonOf(encodeStatusDetails(8, "", []))).toBeUndefined();
  expect(reasonOf(undefined)).toBeUndefined();
});

test("bytes from another process cannot break us", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const reason = reasonOf(Buffer.from(bytes).toString("base64"));
      expect(["string", "undefined"]).toContain(typeof reason);
    }),
    { numRuns: 1000 },
  );
});

test("trailers carry status, message, details and pushback", () => {
  const trailers = failureTrailers(failure);
  expect(trailers).toMatchObject({
    "grpc-status": "8",
    "grpc-message": "zu voll: 100 %25",
    "grpc-retry-pushback-ms": "1500",
  });
  expect(trailers["grpc-status-details-bin"]).toBeTypeOf("string");
});

test("messages are percent-encoded, whatever is in them", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), (text) => {
      const encoded = percentEncode(text);
      expect(encoded).toMatch(/^[\x20-\x7e]*$/);
      expect(decodeURIComponent(encoded)).toBe(text);
    }),
  );
});
