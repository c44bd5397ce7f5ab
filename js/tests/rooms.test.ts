import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";

// npm runs the tests in the folder of package.json.
const files = readdirSync("src", { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));
const imports = new Map(
  files.map((name) => {
    const text = readFileSync(join("src", name), "utf8");
    const found = [...text.matchAll(/from "(\.[^"]+)"/g)].map(([, path]) => `${normalize(join(dirname(name), path!))}.ts`);
    return [name, found.filter((path) => files.includes(path))] as const;
  }),
);

test("a view's folder knows itself and what is shared, and nothing else", () => {
  assert.ok(files.length > 40);
  for (const [name, found] of imports) {
    for (const path of found) assert.ok(["shared", dirname(name)].includes(dirname(path)), `${name} imports ${path}`);
  }
});

test("no file imports itself by way of others", () => {
  const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
    imports.get(from)!.some((next) => next === to || (!seen.has(next) && reaches(next, to, seen.add(next))));
  assert.deepEqual(files.filter((name) => reaches(name, name)), []);
});
