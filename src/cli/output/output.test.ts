import { PassThrough } from "node:stream";
import { expect, test } from "vitest";
import { prefixed } from "./prefixed.js";
import { ProgressLine } from "./progress-line.js";
import { quoted } from "./quoted.js";
import { self } from "./self.js";
import { streamView } from "./stream-view.js";
import { formatTable, oneLine, shorten } from "./table.js";

test("a table lines up", () => {
  const rows = [{ name: "a", size: 5 }, { name: "line\nbreak", size: 12 }];
  expect(
    formatTable(
      [
        { title: "name", cell: ({ name }) => name, maxWidth: 8 },
        { title: "size", cell: ({ size }) => String(size), align: "right" },
      ],
      rows,
    ),
  ).toBe("name      size\n────────  ────\na            5\nline⏎br…    12\n");
});

test("model output cannot move the cursor", () => {
  expect(oneLine("a\u001b[2Jb\tc\u009bd")).toBe("a·[2Jb·c·d");
});

test("texts are cut by characters", () => {
  expect(shorten("😀😀😀", 2)).toBe("😀…");
  expect(shorten("ab", 2)).toBe("ab");
});

test("each line of a message gets its source", () => {
  expect(prefixed("w", "a\nb", 3)).toBe("w   │ a\nw   │ b\n");
});

/** An output like standard output, which keeps what it got. */
function output(columns?: number): { stream: NodeJS.WriteStream; written: () => string } {
  const stream = new PassThrough() as unknown as NodeJS.WriteStream;
  Object.assign(stream, columns === undefined ? {} : { isTTY: true, columns });
  return { stream, written: () => String((stream as unknown as PassThrough).read() ?? "") };
}

test("streams become named lines where there is no terminal", () => {
  const { stream, written } = output();
  const view = streamView(["a", "base"], stream);
  view.write(0, "one ");
  view.write(1, "first line\nsecond");
  view.write(0, "two");
  view.end(0, "2 tokens");
  view.end(1, "5 tokens");
  view.close();
  expect(written()).toBe(
    "base ▸ first line\na    ▸ one two\na    ✓ 2 tokens\nbase ▸ second\nbase ✓ 5 tokens\n",
  );
});

test("streams become rows on a terminal, each within the width, ending with what came last", () => {
  const { stream, written } = output(40);
  const view = streamView(["a", "base"], stream);
  view.write(0, "x".repeat(100) + "end");
  view.end(1, "done");
  view.close();
  // oxlint-disable-next-line no-control-regex
  const rows = written().split("\n").slice(-3, -1).map((row) => row.replace(/\u001b\[\d+[AK]/g, ""));
  expect(rows[0]).toMatch(/^a {4}▸ x+end$/);
  expect(rows[1]).toBe("base ✓   done");
  for (const row of rows) expect(row.length).toBeLessThanOrEqual(40);
});

test("the program knows how it is called", () => {
  expect(self("/usr/local/bin/polygraft", "/home/me")).toBe("polygraft");
  expect(self("/home/me/repo/src/cli/dist/main.js", "/home/me/repo")).toBe("node src/cli/dist/main.js");
});

test("progress is a line a phase, and one that changes on a terminal", () => {
  const steps = [["read", 0, 9], ["read", 4, 9], ["pack", 1, 3], ["pack", 1.001, 3]] as const;
  const file = output();
  const terminal = output(40);
  for (const out of [file, terminal]) {
    const progress = new ProgressLine(out.stream);
    for (const [phase, done, total] of steps) progress.show(phase, done, total);
    progress.end();
    progress.end();
  }
  expect(file.written()).toBe("read…\npack…\n");
  const line = (text: string): string => `\r\u001b[2K${text}`;
  expect(terminal.written()).toBe(line("read 0 %") + line("read 44 %") + line("pack 33 %") + line(""));
});

test("arguments with characters that a shell would read are quoted", () => {
  expect(["a-1", "https://[::1]:1", "a b", "it's", ""].map(quoted)).toEqual(["a-1", "'https://[::1]:1'", "'a b'", String.raw`'it'\''s'`, "''"]);
});
