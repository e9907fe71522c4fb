import { DirectServiceDefinition } from "@polygraft/api";
import type { FollowRequest, FollowResponse } from "@polygraft/api";
import { Status } from "nice-grpc";
import { RichServerError } from "nice-grpc-error-details";
import { afterEach, expect, test } from "vitest";
import { serve } from "../../../test/support/scripted-service.js";
import { Transports } from "../transports.js";
import { FleetView } from "./fleet-view.js";
import { Follower } from "./follower.js";

const cleanups: (() => void)[] = [];
afterEach(() => cleanups.splice(0).forEach((cleanup) => cleanup()));

const never = new AbortController().signal;
const inASecond = () => performance.now() + 1000;
const inAMinute = () => performance.now() + 60_000;

type Message = NonNullable<FollowResponse["message"]>;
const say = (message: Message): FollowResponse => ({ message });
const token = (text: string, validMillis = 60_000) => say({ $case: "token", value: { token: text, validMillis } });
const noWorkers = say({ $case: "fleet", value: { version: 1n, snapshot: true, complete: true, workers: [], removedWorkers: [] } });

/** Answers to each question with what it was asked about; `script` says more. */
async function router(script: (stream: number) => AsyncIterable<FollowResponse>) {
  const heard: FollowRequest[][] = [];
  const server = await serve(DirectServiceDefinition, {
    async *follow(requests) {
      const mine: FollowRequest[] = [];
      heard.push(mine);
      yield* script(heard.length);
      for await (const request of requests) {
        mine.push(request);
        const adapters = request.adapterIds.map((id) => ({ id, rank: 0, bytes: 0n, holders: [] }));
        yield say({ $case: "sightings", value: { adapters } });
      }
    },
  });
  const transports = new Transports([server.address], undefined);
  const view = new FleetView({ left: () => {}, suspected: () => {} });
  const follower = new Follower(transports, [], view);
  cleanups.push(() => follower.close(), () => transports.close(), () => server.close());
  return { follower, heard, view };
}

test("asks about each adapter once, and again about all of them when its stream was lost", async () => {
  const { follower, heard } = await router(async function* (stream) {
    yield token(`token-${stream}`);
    yield noWorkers;
  });
  follower.begin();
  for (const id of ["a", "b", "a", undefined]) expect(await follower.ready(id, inAMinute(), never)).toBe(true);
  expect(follower.token).toBe("token-1");
  expect(heard[0]!.flatMap(({ adapterIds }) => adapterIds)).toEqual(["a", "b"]);
  follower.refused("another token");
  follower.refused("token-1");
  expect(follower.token).toBeUndefined();
  expect(await follower.ready("c", inAMinute(), never)).toBe(true);
  expect(follower.token).toBe("token-2");
  expect(heard[1]!.flatMap(({ adapterIds }) => adapterIds).sort()).toEqual(["a", "b", "c"]);
});

test("forgets the adapter that was used least recently when there are too many", async () => {
  const { follower, heard, view } = await router(async function* () {
    yield token("token");
    yield noWorkers;
  });
  follower.begin();
  for (let index = 0; index < 1024; index++) expect(await follower.ready(`a${index}`, inAMinute(), never)).toBe(true);
  await follower.ready("a0", inAMinute(), never);
  await follower.ready("new", inAMinute(), never);
  expect(heard[0]!.flatMap(({ forgottenIds }) => forgottenIds)).toEqual(["a1"]);
  expect([view.knows("a0"), view.knows("a1"), view.knows("new")]).toEqual([true, false, true]);
});

test("does not use a token up to its end", async () => {
  const { follower } = await router(async function* () {
    yield token("token", 500);
    yield noWorkers;
  });
  follower.begin();
  expect(await follower.ready("a", inASecond() - 800, never)).toBe(false);
  expect(follower.token).toBeUndefined();
});

test("nobody waits for a router that refuses, or that cannot be reached", async () => {
  const refusing = await router(async function* () {
    yield* [];
    throw new RichServerError(Status.UNIMPLEMENTED, "what is that?", []);
  });
  refusing.follower.begin();
  expect(await refusing.follower.ready("a", inAMinute(), never)).toBe(false);
  const transports = new Transports(["127.0.0.1:1"], undefined);
  const follower = new Follower(transports, [], new FleetView({ left: () => {}, suspected: () => {} }));
  cleanups.push(() => follower.close(), () => transports.close());
  follower.begin();
  expect(await follower.ready(undefined, inAMinute(), never)).toBe(false);
});

test("waits no longer than it may, than its caller, or than it is open", async () => {
  const { follower } = await router(async function* () {
    await new Promise(() => {});
    yield* [];
  });
  expect(await follower.ready("a", inAMinute(), never)).toBe(false); // nothing has begun
  follower.begin();
  expect(await follower.ready("a", performance.now() + 20, never)).toBe(false);
  const leaving = new AbortController();
  const left = follower.ready("a", inAMinute(), leaving.signal);
  leaving.abort();
  expect(await left).toBe(false);
  const closed = follower.ready("a", inAMinute(), never);
  follower.close();
  expect(await closed).toBe(false);
});
