/**
 * What is shipped, made in dist/ or in the folder that is named: one file per app, and beside the server's what it reads
 * at run time. Only Node is needed to run it. PGlite, a database in WebAssembly, stays a package of its own.
 *
 *     sh scripts/run.sh bundle [FOLDER]
 */
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');
const PGLITE = 'node_modules/@electric-sql/pglite';

/** How sources ask for a file by its place in the repository, and where it is in the bundle. */
const PLACES = [
  { inRepository: "join(import.meta.dirname, '../../..')", inBundle: 'import.meta.dirname' },
  { inRepository: "new URL('./mirror-worker.ts', import.meta.url)", inBundle: "new URL('./mirror-worker.mjs', import.meta.url)" },
];

const placesInBundle: Plugin = {
  name: 'places-in-bundle',
  setup(bundling) {
    const missing = new Set(PLACES.map(({ inRepository }) => inRepository));
    bundling.onLoad({ filter: /\/(apps|libs)\/\w+\/src\/.*\.ts$/ }, async ({ path }) => {
      let contents = await readFile(path, 'utf8');
      for (const { inRepository, inBundle } of PLACES) {
        if (!contents.includes(inRepository)) continue;
        contents = contents.replaceAll(inRepository, inBundle);
        missing.delete(inRepository);
      }
      return { contents, loader: 'ts' };
    });
    bundling.onEnd(() => ({
      errors: [...missing].map((text) => ({ text: `no source asks for ${text} any more: bring scripts/bundle.ts in line` })),
    }));
  },
};

// Packages in CommonJS ask for Node's modules by require, which a module of ECMAScript does not have.
const BANNER = "import { createRequire as floeCreateRequire } from 'node:module'; const require = floeCreateRequire(import.meta.url);";

async function bundle(target: string): Promise<void> {
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  await build({
    absWorkingDir: ROOT,
    outdir: target,
    outExtension: { '.js': '.mjs' },
    entryPoints: {
      'floe-server': 'apps/server/src/main.ts',
      'floe-agent': 'apps/agent/src/main.ts',
      floe: 'apps/cli/src/main.ts',
      'mirror-worker': 'libs/git/src/mirror-worker.ts',
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    banner: { js: BANNER },
    plugins: [placesInBundle],
    // Beside PGlite: parts of ws and Drizzle that work without these.
    external: ['@electric-sql/pglite', 'bufferutil', 'utf-8-validate'],
    // Licences ask to be kept with the code.
    legalComments: 'eof',
    keepNames: true,
    logLevel: 'warning',
  });
  await cp(join(ROOT, 'migrations'), join(target, 'migrations'), { recursive: true });
  await cp(join(ROOT, 'apps/dashboard/dist'), join(target, 'apps/dashboard/dist'), { recursive: true });
  await cp(join(ROOT, PGLITE), join(target, PGLITE), { recursive: true, filter: (path) => !/\.(map|d\.(c|m)?ts|cjs)$/.test(path) });
}

await bundle(resolve(process.argv[2] ?? join(ROOT, 'dist')));
