/** Who asks for what, and when. Seeded: the same arguments give the same requests. */

import { exponential, logNormal, seeded, type Uniform, Zipf } from "./random.js";

/** A request as it arrives. Times are in seconds. */
export interface SimulatedRequest {
  readonly at: number;
  /** Number of its adapter, from 0. */
  readonly adapter: number;
  readonly promptTokens: number;
  readonly outputTokens: number;
}

/** What a trace is made for. */
export interface TraceSetup {
  readonly adapters: number;
  readonly requests: number;
  /** Requests a second that would keep the whole fleet busy. */
  readonly capacity: number;
  readonly seed: number;
}

/** Names of the traces. */
export type TraceName = "zipf" | "diurnal" | "flash";

/** A trace: how busy it keeps the fleet, and what is popular, as the run goes on from 0 to 1. */
interface Shape {
  /** Rate of arrivals, as a part of the capacity. */
  utilization(progress: number): number;
  /** The highest value of it. */
  readonly peak: number;
  adapter(progress: number, draw: Uniform): number;
}

/** Every 2654435761st of the numbers below `count` in turn (Knuth): popular adapters are not neighbours by name. */
const scatter = (rank: number, count: number) => Number((BigInt(rank) * 2_654_435_761n) % BigInt(count));

/** Prompt and output in tokens: median, and deviation of the logarithm. */
const promptShape = { median: 256, sigma: 0.8, most: 4096 };
const outputShape = { median: 128, sigma: 0.7, most: 1024 };

const shapes: Readonly<Record<TraceName, (adapters: number) => Shape>> = {
  /** Zipf's law, steadily at 70 % of the capacity. */
  zipf(adapters) {
    const zipf = new Zipf(adapters, 1);
    return { peak: 0.7, utilization: () => 0.7, adapter: (_, draw) => scatter(zipf.draw(draw), adapters) };
  },
  /** Two days from 20 % to 90 %. Half of the adapters are used by day, the others by night. */
  diurnal(adapters) {
    const zipf = new Zipf(adapters, 1);
    const day = (progress: number) => 0.5 - 0.5 * Math.cos(4 * Math.PI * progress);
    return {
      peak: 0.9,
      utilization: (progress) => 0.2 + 0.7 * day(progress),
      adapter(progress, draw) {
        for (;;) {
          const rank = zipf.draw(draw);
          const favour = rank % 2 === 0 ? day(progress) : 1 - day(progress);
          if (draw() < 0.1 + 0.9 * favour) return scatter(rank, adapters);
        }
      },
    };
  },
  /** Zipf at 55 %; in the third quarter a third more come, all of them for one adapter that nobody knew before. */
  flash(adapters) {
    const zipf = new Zipf(adapters, 1);
    const isOn = (progress: number) => progress >= 0.5 && progress < 0.75;
    return {
      peak: 0.55 * (4 / 3),
      utilization: (progress) => 0.55 * (isOn(progress) ? 4 / 3 : 1),
      adapter(progress, draw) {
        if (isOn(progress) && draw() < 1 / 4) return scatter(adapters - 1, adapters);
        return scatter(zipf.draw(draw), adapters);
      },
    };
  },
};

/** All traces. */
export const traceNames = Object.keys(shapes) as readonly TraceName[];

/** The requests of a trace, in the order of their arrival: a Poisson process, thinned to the rate of the moment. */
export function* requestsOf(name: TraceName, { adapters, requests, capacity, seed }: TraceSetup): Generator<SimulatedRequest> {
  const shape = shapes[name](adapters);
  const draw = seeded(seed);
  // About how long the run takes: utilization is a function of progress, and its mean is known only by summing it up.
  const steps = 1000;
  let mean = 0;
  for (let step = 0; step < steps; step++) mean += shape.utilization((step + 0.5) / steps) / steps;
  const end = requests / (mean * capacity);
  let at = 0;
  for (let count = 0; count < requests; ) {
    at += exponential(draw) / (shape.peak * capacity);
    const progress = Math.min(at / end, 1 - Number.EPSILON);
    if (draw() * shape.peak >= shape.utilization(progress)) continue;
    count += 1;
    const adapter = shape.adapter(progress, draw);
    yield { at, adapter, promptTokens: tokens(draw, promptShape), outputTokens: tokens(draw, outputShape) };
  }
}

/** Mean tokens of prompts and outputs, by the formula of the log-normal distribution, caps left out. */
export const meanTokens = { prompt: meanOf(promptShape), output: meanOf(outputShape) };

function tokens(draw: Uniform, { median, sigma, most }: typeof promptShape): number {
  return Math.max(1, Math.min(most, Math.round(logNormal(draw, median, sigma))));
}

function meanOf({ median, sigma }: typeof promptShape): number {
  return median * Math.exp(sigma ** 2 / 2);
}
