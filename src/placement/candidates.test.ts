import { describe, expect, test } from "vitest";
import { type AdapterPresence, CandidateFinder, type CandidateWorker, ModelFleets } from "./index.js";

interface Worker extends CandidateWorker {
  readonly model: string;
}

/** Workers of the models "m" and "n", each with 100 tokens a request, in a fleet that may change. */
function fleetOf(names: Readonly<Record<string, string>>) {
  const workers = new Map<string, Worker>();
  const models = new ModelFleets<Worker>();
  const set = (name: string, model: string) => {
    const worker: Worker = { name, model, adapterRoom: { bytes: 1000, rankUnits: 10 }, tally: { tokensOf: (requests) => 100 * requests } };
    workers.set(name, worker);
    models.set(model, worker);
  };
  for (const [name, model] of Object.entries(names)) set(name, model);
  const finder = new CandidateFinder<Worker>({ models: () => models.current, worker: (name) => workers.get(name), modelOf: ({ model }) => model });
  return {
    finder,
    set,
    all: (model: string) => models.current.get(model)!,
    among: (model: string, adapter: string | undefined, presence: AdapterPresence | undefined) =>
      finder.among(models.current.get(model)!, adapter, presence, { epsilon: 0.25, floorTokens: 100, hysteresis: 0.5 }),
  };
}

function presence(holders: readonly string[], more: Partial<AdapterPresence> = {}): AdapterPresence {
  return { size: { rank: 8, bytes: 250 }, holders: new Set(holders), resident: new Set(), references: new Map(), ...more };
}

const namesOf = ({ fleet }: { readonly fleet: { readonly workers: readonly Worker[] } }) => fleet.workers.map(({ name }) => name);

describe("candidates for an adapter", () => {
  const fleet = fleetOf({ a: "m", b: "m", c: "m", x: "n" });

  test.each([
    ["those that hold it", "id", presence(["c", "a"]), ["a", "c"]],
    ["those of the model alone", "id", presence(["x", "b"]), ["b"]],
    ["all, if none of the model holds it", "id", presence(["x"]), ["a", "b", "c"]],
    ["all, if nobody has announced it", "id", undefined, ["a", "b", "c"]],
    ["all, if it names a source that any could fetch", "hf://id", presence(["b"]), ["a", "b", "c"]],
  ])("are %s", (_, id, known, names) => {
    expect(namesOf(fleet.among("m", id, known))).toEqual(names);
  });

  test("come with what it takes on a device, and where it is", () => {
    const resident = new Set(["b"]);
    expect(fleet.among("m", "id", presence(["a", "b"], { resident }))).toMatchObject({ rankUnits: 3, resident, replicas: 1 });
    expect(fleet.among("m", undefined, presence(["b"]))).toMatchObject({ rankUnits: 0, replicas: 1, fleet: fleet.all("m") });
  });

  test("are so many as its requests fill, wherever those run; of workers that are gone nothing counts", () => {
    const busy = (references: readonly (readonly [string, number])[]) =>
      fleet.among("m", "id", presence(["a", "b", "c"], { references: new Map(references) })).replicas;
    expect([busy([["a", 1]]), busy([["a", 1], ["b", 1]]), busy([["a", 1], ["gone", 9]])]).toEqual([1, 2, 1]);
  });

  test("are prepared once, until the fleet or its holders change", () => {
    const changing = fleetOf({ a: "m", b: "m", c: "m" });
    const known = presence(["a", "b"]);
    const { fleet: prepared } = changing.among("m", "id", known);
    expect(changing.among("m", "id", { ...known, resident: new Set(["a"]) }).fleet).toBe(prepared);
    expect(changing.among("m", "id", presence(["a", "b"])).fleet).not.toBe(prepared);
    changing.set("b", "m");
    expect(changing.among("m", "id", known).fleet).not.toBe(prepared);
  });
});

describe("the model of a request that names none", () => {
  const several = fleetOf({ a: "m", b: "m", x: "n" }).finder;

  test.each([
    ["is the only one", fleetOf({ a: "m", b: "m" }).finder, undefined, "m"],
    ["is not known in an empty fleet", fleetOf({}).finder, presence(["a"]), undefined],
    ["is that of all who hold the adapter", several, presence(["a", "b"]), "m"],
    ["is not known where they serve several", several, presence(["a", "x"]), undefined],
    ["is not known where nobody holds it", several, presence([]), undefined],
    ["is not known without an adapter", several, undefined, undefined],
    ["does not depend on holders that are gone", several, presence(["x", "gone"]), "n"],
  ])("%s", (_, finder, known, model) => {
    expect(finder.onlyModel(known)).toBe(model);
  });
});
