import { expect, test } from "vitest";
import { RouterProcesses } from "./router-processes.js";

/** Links that are only written down. */
function stage(shared: string) {
  const diary: string[] = [];
  const joined = new Set<string>();
  const processes = new RouterProcesses(shared, (address) => {
    diary.push(`+${address}`);
    return {
      get joined() {
        return joined.has(address);
      },
      handOver: async () => void diary.push(`hand over ${address}`),
      leave: () => void diary.push(`leave ${address}`),
      close: async () => void diary.push(`-${address}`),
      hurry: () => void diary.push(`hurry ${address}`),
    };
  });
  const said = () => diary.splice(0);
  return { processes, joined, said };
}

test("each port is joined once on the shared host; those known are tried at once, those gone are left", async () => {
  const { processes, joined, said } = stage("https://[::1]:50051");
  processes.set([7, 8, 7]);
  expect(said()).toEqual(["+https://[::1]:7", "+https://[::1]:8"]);
  expect(processes.joined).toBe(false);
  joined.add("https://[::1]:8");
  expect(processes.joined).toBe(true);
  processes.set([8, 9]);
  expect(said()).toEqual(["-https://[::1]:7", "hurry https://[::1]:8", "+https://[::1]:9"]);
  processes.set([]);
  expect(said()).toEqual(["-https://[::1]:8", "-https://[::1]:9"]);
  expect(processes.joined).toBe(false);
});

test("one that comes while the worker leaves is told so; after the end none is joined", async () => {
  const { processes, said } = stage("router:50051");
  processes.set([7]);
  await processes.handOver("r");
  processes.leave("r");
  processes.set([7, 8]);
  expect(said()).toEqual(["+router:7", "hand over router:7", "leave router:7", "hurry router:7", "+router:8", "leave router:8"]);
  await processes.close();
  processes.set([9]);
  expect(said()).toEqual(["-router:7", "-router:8"]);
});

test("no more are joined than a machine can have", () => {
  const { processes, said } = stage("router:50051");
  processes.set(Array.from({ length: 60_000 }, (_, index) => index + 1));
  expect(said()).toHaveLength(256);
});
