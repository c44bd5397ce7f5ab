// Bundles each view into the Python package and writes down which sources the bundles came from.
//   node build.mjs                    → ../src/catjac_widgets/widgets/static
//   node build.mjs --out FOLDER       → somewhere else (to compare with what is committed)
//   node build.mjs --tests            → build/tests, for node's own test runner
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const views = ["contact_map", "jacobian_slice", "job_status", "panel_toggles", "recovery_view", "sensitivity_view", "sequence_mask", "structure_head"];

function filesUnder(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesUnder(path) : [path];
  });
}

/** One line a source, as `sha256sum` writes it, so that anybody can check without node. */
function sources() {
  const paths = [...filesUnder(join(here, "src")), ...["build.mjs", "package.json", "package-lock.json"].map((name) => join(here, name))];
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
  await build({ ...common, minify: true, entryPoints: views.map((view) => join("src", `${view}.ts`)), outdir });
  await build({ ...common, minify: true, entryPoints: [join("src", "catjac.css")], outdir });
  writeFileSync(join(outdir, "SOURCES.sha256"), sources());
}
