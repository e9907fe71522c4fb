import { LoadSample, ResidencyUpdate, Tier, WorkerHello } from "@polygraft/api";
import type { FollowRequest } from "@polygraft/api";
import { place } from "@polygraft/placement";
import fc from "fast-check";
import { expect, test } from "vitest";
import { FleetView } from "../../src/client/direct/fleet-view.js";
import { TokenIssuer } from "../../src/router/access/token-issuer.js";
import { Crowding } from "../../src/router/admission/crowding.js";
import { serveFollow } from "../../src/router/direct/follow.js";
import { Candidates, Catalog, Fleet, systemTimers } from "../../src/router/index.js";

const ids = ["a", "b", "c", "hf://d/e"];
const models = ["m", "n"];

/** A worker in one moment: who it is, what it holds, how busy it is. */
const worker = fc.record({
  name: fc.constantFrom("w1", "w2", "w3", "w4", "w5", "w6"),
  model: fc.constantFrom(...models),
  weight: fc.option(fc.constantFrom(0.5, 2), { nil: undefined }),
  zone: fc.constantFrom("", "north", "south"),
  capacity: fc.option(
    fc.record({ maxSequences: fc.integer({ min: 0, max: 8 }), adapterBytes: fc.bigInt(0n, 10_000n), adapterRankUnits: fc.integer({ min: 0, max: 64 }) }),
    { nil: undefined },
  ),
  load: fc.option(
    fc.record(
      {
        runningRequests: fc.integer({ min: 0, max: 8 }),
        waitingRequests: fc.integer({ min: 0, max: 4 }),
        inFlightTokens: fc.integer({ min: 0, max: 20_000 }),
        freeRankUnits: fc.integer({ min: 0, max: 64 }),
      },
      { requiredKeys: [] },
    ),
    { nil: undefined },
  ),
  adapters: fc.uniqueArray(
    fc.record({
      id: fc.constantFrom(...ids),
      revision: fc.constantFrom("", "v1"),
      tier: fc.constantFrom(Tier.DEVICE, Tier.HOST, Tier.SOURCE),
      rank: fc.integer({ min: 1, max: 64 }),
      bytes: fc.bigInt(0n, 4000n),
      references: fc.integer({ min: 0, max: 6 }),
    }),
    { selector: ({ id, revision }) => `${id}@${revision}`, maxLength: 5 },
  ),
  draining: fc.boolean(),
  leaving: fc.boolean(),
});

const request = fc.record({
  model: fc.constantFrom("", ...models, "none"),
  id: fc.option(fc.constantFrom(...ids), { nil: undefined }),
  key: fc.option(fc.string({ maxLength: 4 }), { nil: undefined }),
  excluded: fc.array(fc.constantFrom("w1", "w2", "w3"), { maxLength: 2 }),
  tieBreaker: fc.string({ maxLength: 4 }),
});

const policy = fc.record({ epsilon: fc.double({ min: 0.1, max: 1, noNaN: true }), floorTokens: fc.constantFrom(0, 100, 4096) });

/** Takes all that a router says at first. */
async function learn(view: FleetView, parts: Parameters<typeof serveFollow>[2]): Promise<void> {
  const leaving = new AbortController();
  async function* asking(): AsyncGenerator<FollowRequest> {
    yield { adapterIds: ids, forgottenIds: [] };
  }
  const seen = new Set<string>();
  for await (const response of serveFollow(asking(), { client: "me" }, parts, leaving.signal)) {
    view.apply(response);
    seen.add(response.message?.$case ?? "");
    if (seen.size === 4) break;
  }
  leaving.abort();
}

test("a client in direct mode places every request as its router does, given the same fleet", async () => {
  const tokens = await TokenIssuer.start({ router: "r", tokenSeconds: 60, required: false }, systemTimers);
  const moment = fc.uniqueArray(worker, { selector: ({ name }) => name, maxLength: 6 });
  let placed = 0;
  await fc.assert(
    fc.asyncProperty(policy, fc.array(moment, { minLength: 1, maxLength: 3 }), fc.array(request, { minLength: 20, maxLength: 20 }), async (bounds, moments, requests) => {
      const fleet = new Fleet();
      const catalog = new Catalog();
      fleet.listen(catalog);
      const candidates = new Candidates(fleet, catalog, bounds);
      const view = new FleetView({ left: () => {}, suspected: () => {} });
      let number = 0n;
      for (const workers of moments) {
        // Everybody leaves, and comes back different: what a client has kept of before must not matter.
        for (const member of fleet.view.members) fleet.leave(member);
        for (const { name, model, weight, zone, capacity, load, adapters, draining, leaving } of workers) {
          number += 1n;
          const hello = { name, epoch: String(number % 2n), address: `${name}:1`, zone, model: { name: model }, weight, capacity };
          const member = fleet.join(WorkerHello.fromPartial(hello), () => {}, 0);
          const held = adapters.map(({ id, revision, rank, bytes, tier, references }) => ({
            identity: { id, revision },
            rank,
            bytes,
            residency: [{ tier, references }],
          }));
          fleet.hold(member, ResidencyUpdate.fromPartial({ snapshot: true, complete: true, adapters: held }), 0);
          if (load !== undefined) fleet.load(member, LoadSample.fromPartial({ ...load, number }), 0);
          if (leaving) fleet.handOver(member, 0);
          if (draining) fleet.drain(member, 0);
        }
        await learn(view, { fleet, catalog, policy: bounds, tokens, crowding: new Crowding(systemTimers), timers: systemTimers });
        for (const { model, id, key = id, excluded, tieBreaker } of requests) {
          const there = candidates.find(model, id === undefined ? undefined : { id, revision: "", digest: "" });
          const here = view.find(model, id);
          const wanted = { tieBreaker, excluded: new Set(excluded), ...(key === undefined ? {} : { key }) };
          const byRouter = "status" in there ? undefined : place(there.fleet, { ...there, ...wanted }, candidates.policy);
          const byClient = here && place(here.fleet, { ...here, ...wanted }, view.policy);
          expect(byClient).toEqual(byRouter);
          if (byClient !== undefined) placed += 1;
        }
      }
    }),
    { numRuns: 60 },
  );
  expect(placed).toBeGreaterThan(500);
  tokens.close();
});
