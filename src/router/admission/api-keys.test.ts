import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { temporaryFolder } from "../../../test/support/temporary-folder.js";
import { ApiKeys } from "./api-keys.js";

describe("ApiKeys", () => {
  const keys = new ApiKeys(["alpha", "beta"]);

  test.each(["Bearer alpha", "bearer beta", "Bearer   alpha"])("%j is welcome", (header) => {
    expect(keys.refuse(header)).toBeUndefined();
  });

  test.each([undefined, "", "alpha", "Bearer", "Bearer ", "Bearer alph", "Bearer alphaa", "Basic alpha"])(
    "%j is refused",
    (header) => {
      expect(keys.refuse(header)).toMatchObject({ status: 16, reason: "UNAUTHENTICATED" });
    },
  );

  test("a refusal does not repeat the key", () => {
    expect(JSON.stringify(keys.refuse("Bearer secret-guess"))).not.toContain("secret-guess");
  });

  test("are read from a file, one a line", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "keys");
    await writeFile(path, "# team a\nalpha\r\n\n  beta  \n");
    const read = await ApiKeys.read(path);
    expect(read.refuse("Bearer alpha")).toBeUndefined();
    expect(read.refuse("Bearer beta")).toBeUndefined();
    expect(read.refuse("Bearer #")).toBeDefined();
  });

  test("a file without keys is refused, for it would lock everybody out", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "keys");
    await writeFile(path, "# none\n");
    await expect(ApiKeys.read(path)).rejects.toThrow("holds no API key");
  });

  test("are read again; a file that cannot be used changes nothing", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "keys");
    await writeFile(path, "alpha\nbeta\n");
    const read = await ApiKeys.read(path);
    let changes = 0;
    const stop = read.onChange(() => (changes += 1));
    expect([await read.reload(path), changes]).toEqual([false, 0]);
    const beta = read.nameOf("Bearer beta")!;
    await writeFile(path, "gamma\nbeta\n");
    expect([await read.reload(path), changes]).toEqual([true, 1]);
    expect(["alpha", "beta", "gamma"].map((key) => read.refuse(`Bearer ${key}`) === undefined)).toEqual([false, true, true]);
    // Who stays is called as before, wherever in the file its key is now.
    expect([read.nameOf("Bearer beta"), read.has(beta), read.nameOf("Bearer alpha")]).toEqual([beta, true, undefined]);
    await writeFile(path, "\n");
    await expect(read.reload(path)).rejects.toThrow("holds no API key");
    await expect(read.reload(folder.path)).rejects.toThrow("EISDIR");
    expect([read.has(beta), changes]).toEqual([true, 1]);
    stop();
    await writeFile(path, "delta\n");
    await read.reload(path);
    expect(changes).toBe(1);
  });

  test("a key's name does not give its digest away", () => {
    const digest = createHash("sha256").update("alpha").digest("hex");
    expect(digest).not.toContain(keys.nameOf("Bearer alpha")!.slice("key ".length));
  });
});
