// Bundles each view into the Python package and writes down which sources the bundles came from.
//   node build.mjs                    → ../src/catjac_widgets/widgets/static
//   node build.mjs --out FOLDER       → somewhere else (to compare with what is committed)
//   node build.mjs --tests            → build/tests, for node's own test runner
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesUnder(path) : [path];
  });
}

const underSrc = filesUnder(join(here, "src")).sort();

/** A file with a default export is a view: its bundle bears the file's name. */
function views() {
  const found = underSrc.filter((path) => path.endsWith(".ts") && /^export default /m.test(readFileSync(path, "utf8")));
  const names = found.map((path) => basename(path));
  const twice = names.find((name, k) => names.indexOf(name) < k);
  if (twice) throw new Error(`two views are called ${twice}: ${found.join(", ")}`);
  return found;
}

/** The styles of every folder in one sheet, what is shared first. */
function styles() {
  const sheets = underSrc.filter((path) => path.endsWith(".css"));
  const shared = (path) => path.includes(`${sep}shared${sep}`);
  return [...sheets.filter(shared), ...sheets.filter((path) => !shared(path))];
}

/** One line a source, as `sha256sum` writes it, so that anybody can check without node. */
function sources() {
  const paths = [...underSrc, ...["build.mjs", "package.json", "package-lock.json"].map((name) => join(here, name))];
  return paths
    .map((path) => [relative(here, path).split(sep).join("/"), readFileSync(path)])
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, bytes]) => `${createHash("sha256").update(bytes).digest("hex")}  ${name}\n`)
    .join("");
}

const common = { absWorkingDir: here, bundle: true, format: "esm", target: "es2022", legalComments: "none", charset: "utf8" };

if (process.argv.includes("--tests")) {
  const outdir = join(here, "build", "tests");
  rmSync(outdir, { recursive: true, force: true });
  await build({
    ...common,
    platform: "node",
    entryPoints: filesUnder(join(here, "tests")).filter((path) => path.endsWith(".test.ts")),
    outdir,
    outExtension: { ".js": ".mjs" },
  });
} else {
  const flag = process.argv.indexOf("--out");
  const outdir = flag > 0 ? process.argv[flag + 1] : join(here, "..", "src", "catjac_widgets", "widgets", "static");
  mkdirSync(outdir, { recursive: true });
  await build({ ...common, minify: true, entryPoints: views(), entryNames: "[name]", outdir });
  const sheet = styles().map((path) => `@import ${JSON.stringify(path)};`).join("\n");
  await build({ ...common, minify: true, stdin: { contents: sheet, loader: "css", resolveDir: here }, outfile: join(outdir, "catjac.css") });
  writeFileSync(join(outdir, "SOURCES.sha256"), sources());
}
