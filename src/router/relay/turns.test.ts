import { expect, test } from "vitest";
import { Turns } from "./turns.js";

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Keeps the process busy for longer than a slice. */
function spend(): void {
  for (const end = performance.now() + 1; performance.now() < end; );
}

test("work is done in its order, and others have their turns in between", async () => {
  const turns = new Turns();
  const done: string[] = [];
  for (const name of ["a", "b", "c"]) {
    turns.add(() => {
      done.push(name);
      spend();
    });
  }
  expect(done).toEqual([]);
  await turn();
  expect(done).toEqual(["a"]);
  turns.add(() => done.push("d"));
  await turn();
  expect(done).toEqual(["a", "b"]);
  while (done.length < 4) await turn();
  expect(done).toEqual(["a", "b", "c", "d"]);
});

test("work may add work, and goes on after there was none", async () => {
  const turns = new Turns();
  const done: number[] = [];
  turns.add(() => {
    done.push(1);
    turns.add(() => done.push(2));
  });
  while (done.length < 2) await turn();
  turns.add(() => done.push(3));
  while (done.length < 3) await turn();
  expect(done).toEqual([1, 2, 3]);
});
