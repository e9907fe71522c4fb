import type { JoinRequest } from "@polygraft/api";
import { expect, test } from "vitest";
import { Outbox } from "../fleet/outbox.js";
import { ProcessPorts } from "./process-ports.js";

const never = new AbortController().signal;

test("a worker is shown the ports, and again each time that they are set", async () => {
  const ports = new ProcessPorts();
  ports.set([1]);
  const requests = new Outbox<JoinRequest>(1);
  const shown = ports.show(requests, never);
  const next = async () => (await shown.next()).value?.message;
  expect(await next()).toEqual({ $case: "processes", value: { ports: [1] } });
  const second = next();
  ports.set([1, 2]);
  expect(await second).toMatchObject({ value: { ports: [1, 2] } });
  // What changes while nobody reads is told as it is in the end.
  ports.set([2]);
  ports.set([2, 3]);
  expect(await next()).toMatchObject({ value: { ports: [2, 3] } });
  const same = next();
  ports.set([2, 3]);
  expect(await same).toMatchObject({ value: { ports: [2, 3] } });
});

test.each(["ends its side", "is cut off"])("the stream of a worker that %s ends", async (how) => {
  const ports = new ProcessPorts();
  ports.set([1]);
  const requests = new Outbox<JoinRequest>(1);
  const shown = ports.show(requests, never);
  await shown.next();
  const last = shown.next();
  requests.close(how === "is cut off" ? new Error("cut") : undefined);
  expect(await last).toMatchObject({ done: true });
});

test("the stream ends when the router stops", async () => {
  const stopping = new AbortController();
  const shown = new ProcessPorts().show(new Outbox<JoinRequest>(1), stopping.signal);
  const last = shown.next();
  stopping.abort();
  expect(await last).toMatchObject({ done: true });
});
