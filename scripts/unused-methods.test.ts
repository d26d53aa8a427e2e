import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findUnusedMethods } from './unused-methods.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'floe-methods-'));
});
afterEach(async () => await rm(root, { recursive: true }));

/** `OWNER.METHOD` of those that no file other than `x.test.ts` calls. */
async function unusedIn(files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  await mkdir(join(root, 'src'));
  const compilerOptions = { strict: true, target: 'es2024', module: 'nodenext', allowImportingTsExtensions: true, noEmit: true, types: [] };
  await writeFile(join(root, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
  await writeFile(join(root, 'package.json'), '{ "type": "module" }');
  for (const [name, text] of Object.entries(files)) await writeFile(join(root, 'src', name), text);
  return findUnusedMethods(root, (path) => path.startsWith('src/') && !path.endsWith('.test.ts'))
    .map(({ owner, name }) => `${owner}.${name}`)
    .toSorted();
}

const STORE = `
  export interface Store { get(id: string): string; list(): string[]; readonly count: () => number; readonly size: number }
  export function openStore(): Store { return { get: (id) => id, list: () => [], count: () => 0, size: 0 }; }
`;

test('a method that only tests call is found, whatever else is called so', async () => {
  const unused = await unusedIn({
    'store.ts': STORE,
    'use.ts': `import type { Store } from './store.ts'; export const use = (store: Store) => [store.get('a'), new Map().get('b'), [].concat().length];`,
    'other.ts': `export interface Hosts { list(): number[] } export const use = (hosts: Hosts) => hosts.list();`,
    'x.test.ts': `import { openStore } from './store.ts'; openStore().list(); openStore().count();`,
  });
  expect(unused).toEqual(['Store.count', 'Store.list']);
});

test.each([
  [
    'a narrower interface',
    `interface Narrow { list(): string[]; count(): number; get(id: string): unknown }
    const use = (narrow: Narrow) => [narrow.list(), narrow.count(), narrow.get('')]; export const used = (store: Store) => use(store);`,
  ],
  ['a part of its type', `export const use = (store: Pick<Store, 'list' | 'count' | 'get'>) => [store.list(), store.count(), store.get('')];`],
  ['names of their own', `export const use = ({ list, count: n, get }: Store) => [list(), n(), get('')];`],
  ['a variable that may be none', `export const use = (store: Store | undefined) => [store?.list(), store?.count(), store?.get('')];`],
  [
    'an object that it is spread into',
    `interface Wide { list(): string[]; count(): number; get(id: string): string; more: number }
    const use = (wide: Wide) => [wide.list(), wide.count(), wide.get('')]; export const used = (store: Store) => use({ ...store, more: 1 });`,
  ],
  ['a generic function', `export function use<Any extends Store>(store: Any) { return [store.list(), store.count(), store.get('')]; }`],
])('a method that is called through %s is used', async (_name, use) => {
  expect(await unusedIn({ 'store.ts': STORE, 'use.ts': `import type { Store } from './store.ts'; ${use}` })).toEqual([]);
});

test('a part that is spread into the whole is not used by that', async () => {
  const unused = await unusedIn({
    'store.ts': STORE,
    'use.ts': `import type { Store } from './store.ts';
      const listing = (): Pick<Store, 'list'> => ({ list: () => [] });
      export function openOther(): Store { return { ...listing(), get: (id) => id, count: () => 0, size: 0 }; }
      export const use = (store: Store) => [store.get(''), store.count()];`,
  });
  expect(unused).toEqual(['Store.list']);
});

test('a method of a class is called through what the class, or one that extends it, stands for', async () => {
  const unused = await unusedIn({
    'machine.ts': `
      export interface Machine { start(): void; stop(): void }
      abstract class Base { start(): void {} rest(): void {} }
      export class Real extends Base implements Machine { stop(): void {} toString(): string { return ''; } #own(): void {} idle(): void { this.#own(); } }
      export const use = (machine: Machine) => [machine.start(), machine.stop()];`,
  });
  expect(unused).toEqual(['Base.rest', 'Real.idle']);
});

test('one that is called from elsewhere says so', async () => {
  const unused = await unusedIn({
    'a.ts': `/** For a library. @uncalled The library calls it. */ export interface Client { unsafe(): void }
      export interface Other { /** @uncalled By hand. */ pin(): void; /** @uncalled */ unpin(): void }`,
  });
  expect(unused).toEqual(['Other.unpin']);
});
