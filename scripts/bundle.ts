/**
 * Builds the shipped files in dist/ or the named folder: one file per app, and beside the server's the files that it reads at run
 * time. They only need Node. PGlite, a database in WebAssembly, stays a separate package.
 * sh scripts/run.sh bundle [FOLDER]
 */
import { cp, mkdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build, type Plugin } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');
const PGLITE = 'node_modules/@electric-sql/pglite';

/** How sources refer to a file by its path in the repository, and its path in the bundle. */
const PLACES = [
  { inRepository: "join(import.meta.dirname, '../../..')", inBundle: 'import.meta.dirname' },
  { inRepository: "new URL('./mirror-worker.ts', import.meta.url)", inBundle: "new URL('./mirror-worker.mjs', import.meta.url)" },
  { inRepository: "new URL('./spawner-process.ts', import.meta.url)", inBundle: "new URL('./spawner-process.mjs', import.meta.url)" },
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

// CommonJS packages load Node's modules by require, which ES modules do not have.
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
      'floe-builder': 'apps/builder/src/main.ts',
      'floe-agent': 'apps/agent/src/main.ts',
      floe: 'apps/cli/src/main.ts',
      'mirror-worker': 'libs/git/src/mirror-worker.ts',
      'spawner-process': 'libs/runtime/src/spawner/spawner-process.ts',
    },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    banner: { js: BANNER },
    plugins: [placesInBundle],
    // Optional parts of ws and Drizzle, besides PGlite.
    external: ['@electric-sql/pglite', 'bufferutil', 'utf-8-validate'],
    // Licences must be shipped with the code.
    legalComments: 'eof',
    keepNames: true,
    logLevel: 'warning',
  });
  await cp(join(ROOT, 'migrations'), join(target, 'migrations'), { recursive: true });
  await cp(join(ROOT, 'apps/dashboard/dist'), join(target, 'apps/dashboard/dist'), { recursive: true });
  await cp(join(ROOT, PGLITE), join(target, PGLITE), { recursive: true, filter: (path) => !/\.(map|d\.(c|m)?ts|cjs)$/.test(path) });
}

const [, , folder = join(ROOT, 'dist'), ...others] = process.argv;
if (folder.startsWith('-') || others.length > 0) throw new Error('usage: bundle [FOLDER]');
await bundle(resolve(folder));
