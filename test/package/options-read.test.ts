import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/** TypeScript and C++ below a folder that is part of the product. */
function sources(folder: string): { readonly path: string; readonly text: string }[] {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const own = names.filter((name) => /\.(ts|cc|h)$/.test(name) && !/\.test\.|\bdist\b|node_modules|generated|native\/(build|test)/.test(name));
  return own.map((name) => ({ path: join(folder, name), text: readFileSync(join(folder, name), "utf8") }));
}

/** Fields of an interface. */
function fieldsOf(path: string, name: string): string[] {
  const text = readFileSync(path, "utf8");
  const begin = text.search(new RegExp(`interface ${name}\\b`));
  expect(begin, `${name} in ${path}`).toBeGreaterThanOrEqual(0);
  const body = text.slice(begin, text.indexOf("\n}", begin));
  return [...body.matchAll(/^ {2}readonly (\w+)\??:/gm)].map(([, field]) => field!);
}

/** Whether some line reads a field: `.field`, a destructuring, or its name as a key. Declarations do not count. */
function isRead(field: string, text: string): boolean {
  const reading = new RegExp(`\\.${field}\\b|[{,] *${field} *[,}:=]|^ *${field},|"${field}"`);
  return text.split("\n").some((line) => !/^ *(readonly|\*|\/\/|\/\*)/.test(line) && reading.test(line));
}

// What fills in defaults and checks ranges reads every field, and proves nothing.
const resolving = new Set(["src/router/options.ts", "gpu-worker/src/resolve-options.ts", "gpu-worker/src/options.ts"]);

test.each<[string, string, string]>([
  ["RouterOptions", "src/router/options.ts", "src/router"],
  ["RouterCertificates", "src/router/certificates.ts", "src/router"],
  ["RelayOptions", "src/router/relay/http2-relay.ts", "src/router"],
  ["PlacementPolicy", "src/placement/policy.ts", "src/placement"],
  ["NativeOptions", "gpu-worker/src/engine/addon.ts", "gpu-worker/native"],
  ["PolygraftOptions", "src/client/options.ts", "src/client"],
  ["TlsOptions", "src/client/options.ts", "src/client"],
  ["CallOptions", "src/client/options.ts", "src/client"],
  ["GenerateOptions", "src/client/options.ts", "src/client"],
  ["RetryOptions", "src/client/retry.ts", "src/client"],
])("every field of %s has a reader", (name, path, room) => {
  const files = sources(room).filter((file) => !resolving.has(file.path));
  const fields = fieldsOf(path, name);
  expect(fields.length).toBeGreaterThan(0);
  expect(fields.filter((field) => !files.some(({ text }) => isRead(field, text)))).toEqual([]);
});

test("every option of a worker has a reader", () => {
  const files = sources("gpu-worker/src").filter((file) => !resolving.has(file.path));
  const resolver = readFileSync("gpu-worker/src/resolve-options.ts", "utf8");
  /** What the resolver makes of each option: "drainSeconds" is read as "drainMillis". */
  const readAs = (field: string) => [field, ...(field.endsWith("Seconds") ? [field.replace(/Seconds$/, "Millis")] : [])];
  const fields = fieldsOf("gpu-worker/src/options.ts", "WorkerOptions");
  expect(fields.length).toBeGreaterThan(20);
  expect(fields.filter((field) => !isRead(field, resolver))).toEqual([]);
  expect(fields.filter((field) => !readAs(field).some((name) => files.some(({ text }) => isRead(name, text))))).toEqual([]);
});

test("a field that nobody reads is found", () => {
  expect(isRead("speed", "  readonly speed: number;\n  // options.speed")).toBe(false);
  expect(isRead("speed", "const { name, speed = 1 } = options;")).toBe(true);
});
