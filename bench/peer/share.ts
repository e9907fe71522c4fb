import { cases } from "./cases.js";
import type { Result } from "./result.js";

/** Names of polygraft as its own rival, in the rows of a base stream's share. */
export const withoutAdapters = "polygraft without adapters";
export const withAdaptersOnly = "polygraft with adapters alone";

/** What a stream of the base pays for those with adapters in its steps. Times are in milliseconds a step. */
export interface Share {
  /** All streams use the base. */
  readonly base: number;
  /** Some streams use the base, the others have adapters. */
  readonly mixed: number;
  /** All streams have adapters. */
  readonly adapted: number;
  /** The adapters' work, for which every stream waits alike: mixed less base. */
  readonly extra: number;
  /** As much of the work of adapters in all streams as there are streams with adapters. */
  readonly due: number;
}

/**
 * A step computes one token of each of its streams, so it is as long for all of them: for a stream of the base, as much
 * longer as the adapters' work takes. It pays its share and no more if it adds nothing to that work, so that this is
 * proportional to the streams that have adapters.
 */
export function shareOf({ ours, peers }: Result, streams: number, bases: number): Share | undefined {
  const [base, mixed, adapted] = [peers[withoutAdapters], ours, peers[withAdaptersOnly]].map(
    (speed) => (1000 * streams) / (speed ?? NaN),
  ) as [number, number, number];
  if (Number.isNaN(base + mixed + adapted)) return undefined;
  return { base, mixed, adapted, extra: mixed - base, due: ((adapted - base) * (streams - bases)) / streams };
}

/** The same for a reader; nothing for other rows. */
export function shareInWords(result: Result): string[] {
  const setup = cases.find(({ id, against }) => id === result.case && against === "base and adapters")?.setup;
  const share = setup && shareOf(result, setup.streams, setup.bases ?? 0);
  if (!share) return [];
  const { streams, bases = 0 } = setup;
  const [others, ms] = [streams - bases, (time: number) => `${time.toFixed(2)} ms`];
  return [
    [
      `${result.shape}${result.neighbour ? " + busy neighbour" : ""}: a step, which is one token of each of ${streams} streams, takes`,
      `  ${ms(share.base)}  if all use the base: ${ms(share.base / streams)} a token in the mean`,
      `  ${ms(share.mixed)}  if ${bases} uses the base and ${others} have an adapter each: ${ms(share.mixed / streams)} a token in the mean`,
      `  ${ms(share.adapted)}  if all have an adapter each: ${ms(share.adapted / streams)} a token in the mean`,
      `The stream of the base has its next token after ${ms(share.mixed)} instead of ${ms(share.base)} (${percent(share.extra / share.base)}): the adapters of`,
      `the others cost ${ms(share.extra)} a step. Its share is ${others}/${streams} of what ${streams} adapters cost, ${ms(share.due)}; it pays ${ms(share.extra - share.due)} beyond that.`,
    ].join("\n"),
  ];
}

function percent(part: number): string {
  return `${part < 0 ? "-" : "+"}${Math.abs(100 * part).toFixed(0)} %`;
}
