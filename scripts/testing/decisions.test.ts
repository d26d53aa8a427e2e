import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { METHOD_KINDS } from '@floe/store';
import { execInTest } from '@floe/runtime';
import { expect, test } from 'vitest';

// A decision is in the audit log with the decision itself (SPEC O22). The type of the store offers decisions in `decide` alone, to whoever has
// a `PlainStore` or a `StorePart`. What is left to hold: that nobody takes the whole store, and that a new decision is not called a plain write.

const ROOT = join(import.meta.dirname, '../..');

/** They open the store, or hand it on. */
const MAY_HAVE_ALL = new Set(['apps/server/src/context.ts', 'libs/pipeline/src/builder/open-store.ts']);

/** Who writes an entry without a decision of the store: of what is no row there. */
const LOG_ALONE: Readonly<Record<string, string>> = {
  'cache-gc.ts': 'removes files: before it begins, and again with the result',
  'notifications.ts': 'a test message, with its result',
  'probes.ts': 'a probe that is asked about nothing, with its answer',
};

/** What a request writes that decides nothing. */
const WRITES_OF_ROUTES: Readonly<Record<string, string>> = {
  'tokens.consumeEnrolmentToken': 'proves who asks; what is decided with it is the enrolment',
  'tokens.createSession': 'who signs in has decided nothing yet',
  'tokens.endSession': 'the same',
  'deliveries.record': 'says that there may be a commit',
  'repositories.wake': 'has somebody look again',
};

async function sources(...folders: readonly string[]): Promise<readonly { readonly path: string; readonly text: string }[]> {
  const { stdout } = await execInTest('git', ['ls-files', ...folders], { cwd: ROOT });
  const paths = stdout.split('\n').filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts') && !path.includes('/test/'));
  return await Promise.all(paths.map(async (path) => ({ path, text: await readFile(join(ROOT, path), 'utf8') })));
}

function importsWhole(text: string): boolean {
  return [...text.matchAll(/import (?:type )?\{([^}]*)\} from '@floe\/store'/g)].some(([, names = '']) =>
    names.split(',').some((name) => /^(?:type )?Store$/.test(name.trim())),
  );
}

/** `hosts: 'get' | 'fleet'`, wherever a part of the store is named. */
function partsOf(text: string): string[] {
  return [...text.matchAll(/StorePart<\{([\s\S]*?)\}>/g)].flatMap(([, body = '']) =>
    [...body.matchAll(/(\w+):([\s|]*'\w+'(?:\s*\|\s*'\w+')*)/g)].flatMap(([, group = '', names = '']) =>
      [...names.matchAll(/'(\w+)'/g)].map(([, name = '']) => `${group}.${name}`),
    ),
  );
}

function kindOf(method: string): string | undefined {
  const [group = '', name = ''] = method.split('.');
  return (METHOD_KINDS as Readonly<Record<string, Readonly<Record<string, string>>>>)[group]?.[name];
}

test('this test finds what it looks for', () => {
  expect(importsWhole("import { isOrdered, type Store } from '@floe/store';")).toBe(true);
  expect(importsWhole("import type { PlainStore, StorePart } from '@floe/store';")).toBe(false);
  expect(partsOf("readonly store: StorePart<{\n hosts: 'get' | 'fleet';\n tokens:\n | 'noteUse'; }>;")).toEqual([
    'hosts.get',
    'hosts.fleet',
    'tokens.noteUse',
  ]);
});

test('no code but what opens the store has its decisions outside of `decide`', async () => {
  const all = await sources('apps', 'libs/pipeline', 'libs/forge', 'libs/notify');
  expect(all.length).toBeGreaterThan(300);
  expect(all.filter(({ path, text }) => importsWhole(text) && !MAY_HAVE_ALL.has(path)).map(({ path }) => path)).toEqual([]);
});

test('what people ask for writes nothing that is no decision, but for what is listed', async () => {
  const routes = await sources('apps/server/src/routes', 'apps/server/src/app.ts');
  const named = routes.flatMap(({ text }) => partsOf(text));
  expect(named.length).toBeGreaterThan(30);
  const writes = named.filter((method) => kindOf(method) === 'write');
  expect([...new Set(writes)].filter((method) => !Object.hasOwn(WRITES_OF_ROUTES, method))).toEqual([]);
  expect(named.filter((method) => kindOf(method) === undefined)).toEqual([]);
});

test('what people ask for is in the log by its decision, but for what is listed', async () => {
  const routes = await sources('apps/server/src/routes');
  const alone = routes.filter(({ text }) => partsOf(text).some((method) => kindOf(method) === 'logged')).map(({ path }) => basename(path));
  expect(alone.toSorted()).toEqual(Object.keys(LOG_ALONE).toSorted());
});
