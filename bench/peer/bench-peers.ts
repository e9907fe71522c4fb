import type { BenchCase } from "./cases.js";
import type { Contender } from "./driver.js";
import { randomModel } from "./model/random-model.js";
import type { ModelFiles } from "./model/random-model.js";
import { Neighbour } from "./neighbour.js";
import type { Peer, PeerContext } from "./peers/peer.js";
import { buildPolygraftDriver, startPolygraft } from "./peers/polygraft.js";
import { WholePath } from "./peers/whole-path.js";
import { resultOf } from "./result.js";
import type { Outcome, Result } from "./result.js";
import type { ResultsFile } from "./results-file.js";
import { measureRounds } from "./rounds.js";
import type { Entry } from "./rounds.js";
import { withAdaptersOnly, withoutAdapters } from "./share.js";
import { shapes } from "./shapes.js";
import type { ShapeName } from "./shapes.js";

/** What to measure. */
export interface BenchPlan {
  readonly cases: readonly BenchCase[];
  readonly shapes: readonly ShapeName[];
  readonly peers: readonly Peer[];
  readonly rounds: number;
  readonly neighbour?: boolean;
  /** Rows that need not be measured again. */
  readonly known: ResultsFile;
}

/** Measures case by case. Everything that it starts is stopped when it ends. */
export async function* benchPeers(plan: BenchPlan, context: PeerContext): AsyncGenerator<Result, void> {
  const present = await installedPeers(plan, context);
  const neighbour = plan.neighbour === true;
  for (const shape of plan.shapes) {
    const missing = plan.cases.filter(({ id }) => !plan.known.has({ case: id, shape, neighbour }));
    if (missing.length === 0) continue;
    await using field = new Field(context, await randomModel(shapes[shape], context.cache, context.onProgress));
    for (const bench of missing) {
      const entries = await field.entries(bench, present);
      using _busy = neighbour ? new Neighbour() : undefined;
      const outcomes = await measureRounds(entries, plan.rounds, (text) =>
        context.onProgress(`${shape}, ${bench.title}: ${text}`),
      );
      yield resultOf(bench, shape, neighbour, outcomes as [Outcome, ...Outcome[]]);
    }
  }
}

async function installedPeers({ cases, peers }: BenchPlan, { cache }: PeerContext): Promise<Peer[]> {
  if (!cases.some(({ against }) => against === "peers")) return [];
  const present: Peer[] = [];
  for (const peer of peers) {
    if (await peer.installed(cache)) present.push(peer);
    else
      throw new Error(
        `${peer.name} is not installed. "npm run bench:peer -- --install --with ${peer.name}" fetches ${peer.installs}; ` +
          `"--with" a list leaves others out.`,
      );
  }
  return present;
}

/** Those who are measured on one model, each started when first needed. */
class Field implements AsyncDisposable {
  readonly #context: PeerContext;
  readonly #files: ModelFiles;
  readonly #started = new Map<string, Promise<Contender>>();
  #executable: Promise<string> | undefined;

  constructor(context: PeerContext, files: ModelFiles) {
    this.#context = context;
    this.#files = files;
  }

  /** Polygraft, then its rivals in this case. */
  async entries({ setup, against }: BenchCase, peers: readonly Peer[]): Promise<Entry[]> {
    const own = { name: "polygraft", contender: await this.#polygraft("polygraft"), setup };
    if (against === "engine") {
      const path = await this.#start("whole path", () => WholePath.start(this.#context, this.#files));
      return [{ name: path.name, contender: path, setup }, { ...own, name: "polygraft's engine" }];
    }
    if (against === "base" || against === "base and adapters") {
      const base = await this.#polygraft(withoutAdapters);
      const entries = [own, { name: base.name, contender: base, setup: { ...setup, adapters: 0, bases: 0 } }];
      if (against === "base") return entries;
      const adapted = await this.#polygraft(withAdaptersOnly);
      return [...entries, { name: adapted.name, contender: adapted, setup: { ...setup, adapters: setup.streams, bases: 0 } }];
    }
    const entries: Entry[] = [own];
    for (const peer of peers) {
      const contender = await this.#start(peer.name, () => peer.start(this.#context, this.#files));
      entries.push({ name: peer.name, contender, setup });
    }
    return entries;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = await Promise.allSettled(this.#started.values());
    await Promise.all(all.map((started) => (started.status === "fulfilled" ? started.value.stop() : undefined)));
  }

  #polygraft(name: string): Promise<Contender> {
    return this.#start(name, async () => {
      this.#executable ??= buildPolygraftDriver(this.#context.cache);
      return startPolygraft(this.#context, await this.#executable, this.#files, name);
    });
  }

  #start(name: string, start: () => Promise<Contender>): Promise<Contender> {
    const known = this.#started.get(name);
    if (known !== undefined) return known;
    this.#context.onProgress(`starting ${name}`);
    const started = start();
    this.#started.set(name, started);
    return started;
  }
}
