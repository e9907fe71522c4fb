import fc from "fast-check";
import { expect, test } from "vitest";
import { resolveOptions } from "../options.js";
import { shareOf } from "./share.js";

test("shares together are as much as the whole, and less than one more for each process", () => {
  const bound = fc.integer({ min: 1, max: 1e6 });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), bound, bound, bound, bound, (processes, maxStreams, maxQueue, maxHeldBytes, maxConnections) => {
      const { relay, ...share } = shareOf(resolveOptions({ processes, maxStreams, maxQueue, relay: { maxHeldBytes, maxConnections } }));
      const wholes = [maxStreams, maxQueue, maxHeldBytes, maxConnections];
      const shares = [share.maxStreams!, share.maxQueue!, relay!.maxHeldBytes!, relay!.maxConnections!];
      for (const [index, whole] of wholes.entries()) {
        expect(shares[index]! * processes).toBeGreaterThanOrEqual(whole);
        expect(shares[index]! * processes).toBeLessThan(whole + processes);
      }
    }),
  );
});
