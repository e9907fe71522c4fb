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
});
