import fc from "fast-check";
import { expect, test } from "vitest";
import { Random } from "../peer/model/random.js";
import { arrivals } from "./arrivals.js";
import { Clients } from "./clients.js";
import { ModelWorker } from "./model-worker.js";
import { picture } from "./picture.js";
import { startWorkerProcess } from "./worker-process.js";

test("arrivals are in order, within the time, and about as many as asked for", () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = new Random(seed);
      const times = arrivals(100, 20_000, () => random.below(2 ** 32) / 2 ** 32);
      expect(times.every((time, index) => time >= (times[index - 1] ?? 0) && time < 20_000)).toBe(true);
      // Five standard deviations of a Poisson count of 2,000.
      expect(Math.abs(times.length - 2000)).toBeLessThan(5 * Math.sqrt(2000));
    }),
  );
});

test("a worker gives complete answers, refuses what its queue cannot hold, and forgets whose deadline has passed", async () => {
  const worker = new ModelWorker({ sequences: 1, queue: 1, stepMillis: 1, tokens: 3 });
  const address = await worker.listen();
  const clients = new Clients([address], 60_000, 3);
  const endings = await Promise.all([clients.ask(), clients.ask(), clients.ask()]);
  expect(endings.map(({ status }) => status)).toEqual([0, 0, 8]);
  clients.close();
  worker.close();

  const stuck = new ModelWorker({ sequences: 1, queue: 1, stepMillis: 1e6, tokens: 3 });
  const hurried = new Clients([await stuck.listen()], 50, 3);
  expect((await hurried.ask()).status).toBe(4);
  while (stuck.size > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  hurried.close();
  stuck.close();
});

test("a worker in a process of its own serves", async () => {
  const worker = await startWorkerProcess({ name: "worker-1", sequences: 1, queue: 1, stepMillis: 1, tokens: 3, tellsLoad: false });
  const clients = new Clients([worker.address], 60_000, 3);
  expect((await clients.ask()).status).toBe(0);
  clients.close();
  await worker.stop();
});

test("the picture has a point for each load and its way's name", () => {
  const svg = picture([{ name: "a way", points: [{ load: 1, goodput: 1 }, { load: 5, goodput: 0.5 }] }], [1, 5]);
  expect(svg.match(/<circle/g)).toHaveLength(2);
  expect(svg).toContain(">a way</text>");
  expect(svg).toContain('cx="500.0"');
});
