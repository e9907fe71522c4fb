import { defaultPolicy, prepareFleet, preferenceList } from "@polygraft/placement";
import type { Placement, PlacementPolicy, PlacementRequest, PlacementWorker } from "@polygraft/placement";

/** The order of preference of the workers that do not drain, by the book: zones take turns, each by score. */
export function orderByTheBook(workers: readonly PlacementWorker[], key: string): PlacementWorker[] {
  const byScore = (some: readonly PlacementWorker[]) =>
    preferenceList(prepareFleet(some.map((worker) => ({ ...worker, zone: "" }))), key).map(
      (name) => workers.find((worker) => worker.name === name)!,
    );
  const awake = workers.filter((worker) => worker.draining !== true);
  const zones = new Map<string, PlacementWorker[]>();
  for (const worker of byScore(awake)) zones.set(worker.zone ?? "", [...(zones.get(worker.zone ?? "") ?? []), worker]);
  const order: PlacementWorker[] = [];
  for (let turn = 0; order.length < awake.length; turn++) {
    const round = [...zones.values()].flatMap((zone) => zone.slice(turn, turn + 1));
    order.push(...byScore(round));
  }
  return order;
}

/** What `place` must answer to a request with a key, said as plainly as possible and without regard to cost. */
export function placeByTheBook(
  workers: readonly PlacementWorker[],
  request: PlacementRequest & { readonly key: string },
  policy: PlacementPolicy,
): Placement | undefined {
  const { epsilon, floorTokens } = { ...defaultPolicy, ...policy };
  const { key, excluded = new Set<string>(), rankUnits = 0, resident = new Set<string>(), replicas = 1 } = request;
  const order = orderByTheBook(workers, key);
  const remaining = order.filter(({ name }) => !excluded.has(name));
  const keeps = ({ name, leaving }: PlacementWorker) => leaving !== true || resident.has(name);
  const left = remaining.filter(keeps);
  const total = order.reduce((sum, { inFlightTokens = 0 }) => sum + inFlightTokens, 0);
  const weights = order.reduce((sum, { weight = 1 }) => sum + weight, 0);
  const below = ({ inFlightTokens = 0, weight = 1, full = false }: PlacementWorker, slack: number) =>
    (!full && inFlightTokens < floorTokens) || inFlightTokens < slack * (total / weights) * weight;
  const hasSlot = ({ name, freeRankUnits }: PlacementWorker) =>
    freeRankUnits === undefined || freeRankUnits >= rankUnits || resident.has(name);
  const withSlot = left.filter(hasSlot);
  const shared = order.slice(0, replicas).filter((worker) => withSlot.includes(worker));
  const easy = replicas > 1 ? shared.find((worker) => below(worker, 1 + epsilon / 2)) : undefined;
  const within = easy ?? withSlot.find((worker) => below(worker, 1 + epsilon));
  if (within !== undefined) {
    const all = preferenceList(prepareFleet(workers.map((worker) => ({ ...worker, zone: "", draining: false }))), key);
    return { worker: within.name, reason: all[0] === within.name ? "preferred" : "spilled" };
  }
  if (withSlot[0] !== undefined) return { worker: withSlot[0].name, reason: "over-bound" };
  if (left[0] !== undefined) return { worker: left[0].name, reason: "no-slot" };
  const bare = (some: readonly PlacementWorker[]) => some.map((worker) => ({ ...worker, zone: "" }));
  const [leaver] = orderByTheBook(bare(remaining), key);
  if (leaver !== undefined) return { worker: leaver.name, reason: "draining" };
  const drained = preferenceList(prepareFleet(workers), key).find((name) => {
    return !excluded.has(name) && workers.some((worker) => worker.name === name && worker.draining === true);
  });
  return drained === undefined ? undefined : { worker: drained, reason: "draining" };
}
