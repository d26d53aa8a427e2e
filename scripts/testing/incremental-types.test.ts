import { cp, mkdir, mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';

// The gate checks the types that a change can affect. What it keeps for that hides no error, whatever becomes of it, of the sources or of the packages.

const ROOT = join(import.meta.dirname, '../..');
const OPTIONS = {
  module: 'nodenext',
  target: 'esnext',
  lib: ['es5'],
  types: ['globals'],
  strict: true,
  noEmit: true,
  allowImportingTsExtensions: true,
};
type Files = Readonly<Record<string, string | null>>;
const DEPENDENCY = 'node_modules/dependency';
const INSTALLED = 'node_modules/.package-lock.json';
const KEPT = '.tools/types.tsbuildinfo';
const OTHER = 'export declare function depend(on: number): number;';
const OTHER_ENTRY = '{ "name": "dependency", "version": "2.0.0", "type": "module", "types": "other.d.ts" }';
const FILES: Files = {
  'tsconfig.json': JSON.stringify({ compilerOptions: OPTIONS, include: ['src'] }),
  'package.json': '{ "type": "module" }',
  [INSTALLED]: '{}',
  [`${DEPENDENCY}/package.json`]: '{ "name": "dependency", "version": "1.0.0", "type": "module", "types": "one.d.ts" }',
  [`${DEPENDENCY}/one.d.ts`]: 'export declare function depend(on: string): number;',
  [`${DEPENDENCY}/other.d.ts`]: OTHER,
  'node_modules/@types/globals/index.d.ts': 'declare const known: 1;',
  'src/low.ts': 'export const low: number = 1;',
  'src/middle.ts': "import { depend } from 'dependency';\nimport { low } from './low.ts';\nexport const middle = low + depend('x');",
  'src/high.ts': "import { middle } from './middle.ts';\nexport const high: number = middle;\nexport const one: 1 = known;",
};
const AN_ERROR: Files = { 'src/low.ts': 'export const low: { x: number } = { x: 1 };' };

let dir: string;
let projects = 0;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-types-'));
  await write('clean', FILES);
  expect(await check('clean')).toBe('');
});
afterAll(async () => await rm(dir, { recursive: true, force: true }));

async function write(project: string, files: Files): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    const file = join(dir, project, path);
    await mkdir(dirname(file), { recursive: true });
    if (text === null) await rm(file, { recursive: true });
    else await writeFile(file, text);
  }
}

/** A project that was checked, and is clean. */
async function newProject(): Promise<string> {
  projects += 1;
  const project = `project-${projects}`;
  await cp(join(dir, 'clean'), join(dir, project), { recursive: true, preserveTimestamps: true });
  return project;
}

/** What failed, as the gate says it. */
async function check(project: string): Promise<string> {
  const script = 'cd "$1"; root=$PWD; gate_failed=; say() { :; }; mkdir -p .tools; . "$2"; gate_types types .; echo "failed:$gate_failed"';
  const env = { ...process.env, PATH: `${join(ROOT, 'node_modules/.bin')}:${process.env['PATH']}` };
  const { stdout, stderr } = await execInTest('sh', ['-euc', script, 'sh', join(dir, project), join(ROOT, 'scripts/gate.sh')], { env });
  expect(stdout, stderr).toMatch(/^failed:/);
  return stdout.trim().slice('failed:'.length).trim();
}

async function damage(project: string, by: (kept: Buffer) => Uint8Array | string): Promise<void> {
  const file = join(dir, project, KEPT);
  const kept = await readFile(file).catch(() => undefined);
  if (kept !== undefined) await writeFile(file, by(kept));
}

const DAMAGES: readonly (readonly [string, (kept: Buffer) => Uint8Array | string])[] = [
  ['nothing', (kept) => kept],
  ['its end', (kept) => kept.subarray(0, kept.length / 2)],
  ['blocks on the disk', (kept) => Buffer.concat([kept.subarray(0, kept.length / 2), Buffer.alloc(kept.length / 2)])],
  ['its shape', () => '{"version":{},"root":"","fileNames":[1]}'],
  ['the version of the compiler', (kept) => kept.toString().replace(/"version":"[^"]*"/, '"version":"7.0.0"')],
  ['the errors in it', (kept) => kept.toString().replaceAll('semanticDiagnosticsPerFile', 'semanticDiagnosticsPerFils')],
];

test.each(DAMAGES)('an error is found, a new one and one that was found before, though what is kept lost %s', async (_, by) => {
  const project = await newProject();
  await damage(project, by);
  await write(project, AN_ERROR);
  expect(await check(project)).toBe('types');
  await damage(project, by);
  expect(await check(project)).toBe('types');
});

const CHANGES: readonly (readonly [string, Files])[] = [
  ['a file is deleted', { 'src/low.ts': null }],
  ['a dependency is deleted', { [DEPENDENCY]: null }],
  ['a dependency has another content', { [`${DEPENDENCY}/one.d.ts`]: OTHER }],
  ['a dependency of another version has other files', { [`${DEPENDENCY}/package.json`]: OTHER_ENTRY }],
  [
    'another dependency comes before it',
    { 'src/node_modules/dependency/package.json': OTHER_ENTRY, 'src/node_modules/dependency/other.d.ts': OTHER },
  ],
  [
    'an option is stricter',
    { 'tsconfig.json': JSON.stringify({ compilerOptions: { ...OPTIONS, isolatedDeclarations: true, declaration: true }, include: ['src'] }) },
  ],
  ['a package was installed that has other globals', { 'node_modules/@types/globals/index.d.ts': 'declare const known: 2;', [INSTALLED]: '{ }' }],
];

test.each(CHANGES)('an error is found that comes because %s', async (_, change) => {
  const project = await newProject();
  await write(project, change);
  if (INSTALLED in change) {
    // Later than what was kept, whatever the clock of the file system counts in.
    const { mtimeMs } = await stat(join(dir, project, KEPT));
    await utimes(join(dir, project, INSTALLED), new Date(), new Date(mtimeMs + 1_000));
  }
  expect(await check(project)).toBe('types');
});

test('no source of ours declares a global, whose change would not be seen', async () => {
  const { stdout } = await execInTest('git', ['-C', ROOT, 'grep', '-lE', String.raw`^ *declare (global|module)\b`, '--', '*.ts', '*.tsx']);
  const { stdout: declarations } = await execInTest('git', ['-C', ROOT, 'ls-files', '*.d.ts', '*.d.mts']);
  expect([stdout, declarations]).toEqual(['', '']);
});
