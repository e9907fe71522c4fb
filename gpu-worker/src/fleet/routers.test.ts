import { expect, test } from "vitest";
import { Routers, type RoutersOptions } from "./routers.js";

/** Links that are only written down, and a name service that says what the test wants. */
function stage(targets: readonly string[], options: Partial<RoutersOptions> = {}) {
  const links = new Map<string, { joined: boolean; failed: () => void }>();
  const diary: string[] = [];
  const answers: { readonly host: string; readonly answer: (addresses: readonly string[] | Error) => void }[] = [];
  let asked: () => void = () => {};
  const routers = new Routers({
    targets,
    leastMillis: 0,
    intervalMillis: 3_600_000,
    graceMillis: 0,
    log: { info: () => {}, warn: (message) => void diary.push(message), error: () => {} },
    link(address, _, failed) {
      const link = { joined: false, failed };
      links.set(address, link);
      diary.push(`+${address}`);
      return {
        get joined() {
          return link.joined;
        },
        handOver: async () => void diary.push(`hand over ${address}`),
        leave: () => void diary.push(`leave ${address}`),
        close: async () => void diary.push(`-${address}`),
      };
    },
    resolve: async (host) =>
      new Promise((resolve, reject) => {
        answers.push({ host, answer: (it) => (it instanceof Error ? reject(it) : resolve(it)) });
        asked();
      }),
    ...options,
  });
  /** Answers the next question of the worker, and resolves when it has acted on that and on what `then` does. */
  async function answer(addresses: readonly string[] | Error): Promise<void> {
    while (answers.length === 0) await new Promise<void>((resolve) => (asked = resolve));
    answers.shift()!.answer(addresses);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const lose = (address: string) => links.get(address)!.failed();
  return { routers, diary, answer, lose, links };
}

test("addresses are joined as they are, once each", async () => {
  const { routers, diary } = stage(["10.0.0.1:7", "[::1]:7", "10.0.0.1:7"]);
  expect(diary).toEqual(["+10.0.0.1:7", "+[::1]:7"]);
  await routers.handOver("r");
  routers.leave("r");
  await routers.close();
  expect(diary.slice(2)).toEqual(
    ["hand over", "leave", "-"].flatMap((what) => ["10.0.0.1:7", "[::1]:7"].map((it) => (what === "-" ? `-${it}` : `${what} ${it}`))),
  );
});

test("a name stands for all its addresses, and is resolved anew when a router is lost", async () => {
  const { routers, answer, lose, links } = stage(["routers:7"]);
  await answer(["10.0.0.1", "10.0.0.2"]);
  expect(routers.addresses).toEqual(["10.0.0.1:7", "10.0.0.2:7"]);
  links.get("10.0.0.2:7")!.joined = true;
  lose("10.0.0.1:7");
  await answer(["10.0.0.3"]);
  // The one that is joined stays: it says itself when it goes.
  expect(routers.addresses).toEqual(["10.0.0.2:7", "10.0.0.3:7"]);
  links.get("10.0.0.2:7")!.joined = false;
  lose("10.0.0.2:7");
  await answer(["10.0.0.3"]);
  expect(routers.addresses).toEqual(["10.0.0.3:7"]);
  await routers.close();
});

test("one that comes back within its grace was never away", async () => {
  const { routers, answer, lose, diary } = stage(["routers:7"], { graceMillis: 3_600_000 });
  await answer(["10.0.0.1", "10.0.0.2"]);
  lose("10.0.0.1:7");
  await answer(["10.0.0.2"]);
  lose("10.0.0.1:7");
  await answer(["10.0.0.1", "10.0.0.2"]);
  expect(routers.addresses).toEqual(["10.0.0.1:7", "10.0.0.2:7"]);
  expect(diary).toEqual(["+10.0.0.1:7", "+10.0.0.2:7"]);
  await routers.close();
});

test("a name that does not resolve changes nothing, is told once and asked again", async () => {
  const { routers, answer, lose, diary } = stage(["routers:7"]);
  await answer(new Error("ENOTFOUND"));
  await answer(new Error("ENOTFOUND"));
  await answer(["10.0.0.1"]);
  lose("10.0.0.1:7");
  await answer([]);
  lose("10.0.0.1:7");
  await answer(new Error("ENOTFOUND"));
  expect(routers.addresses).toEqual(["10.0.0.1:7"]);
  expect(diary).toEqual(["a router's name does not resolve", "+10.0.0.1:7", "a router's name does not resolve"]);
  await routers.close();
});

test("a name of one router that gets several is joined by address, and not twice", async () => {
  const { routers, answer, lose, diary } = stage(["routers:7", "10.0.0.2:7"]);
  await answer(["::1", "127.0.0.1"]);
  expect(routers.addresses).toEqual(["10.0.0.2:7", "routers:7"]);
  lose("routers:7");
  await answer(["10.0.0.1", "10.0.0.2"]);
  expect(diary).toEqual(["+10.0.0.2:7", "+routers:7", "-routers:7", "+10.0.0.1:7"]);
  await routers.close();
});

test("after the worker has left no router is joined any more", async () => {
  const { routers, answer, diary } = stage(["routers:7"]);
  routers.leave("r");
  await answer(["10.0.0.1"]);
  expect(diary).toEqual([]);
});
