import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOTS = ['apps', 'libs'];
/** Tests reach into any folder. */
const NO_SOURCE = /\.test\.tsx?$|(?:^|\/)(?:node_modules|test)\//;

type Graph = ReadonlyMap<string, ReadonlySet<string>>;

/** Which source file imports which, types included. */
async function readImports(): Promise<Graph> {
  const listed = await Promise.all(ROOTS.map(async (root) => (await readdir(root, { recursive: true })).map((file) => join(root, file))));
  const files = new Set(listed.flat().filter((file) => /\.tsx?$/.test(file) && !NO_SOURCE.test(file)));
  const edges = [...files].map(async (file) => {
    const specifiers = [...(await readFile(file, 'utf8')).matchAll(/\b(?:from|import)\s*\(?\s*'(\.[^']+)'/g)].map(([, to = '']) => to);
    return [file, new Set(specifiers.map((to) => join(dirname(file), to)).filter((to) => files.has(to)))] as const;
  });
  return new Map(await Promise.all(edges));
}

/**
 * For each folder, which of its subfolders imports which. Files directly in a folder are not counted: they combine its
 * subfolders, or hold what these share.
 */
function betweenSiblings(imports: Graph): ReadonlyMap<string, Graph> {
  const byParent = new Map<string, Map<string, Set<string>>>();
  for (const [file, targets] of imports) {
    for (const target of targets) {
      const parent = commonFolder(file, target);
      const [from, to] = [file, target].map((each) => relative(parent, each).split(sep));
      if (from === undefined || to === undefined || from.length === 1 || to.length === 1 || from[0] === to[0]) continue;
      const graph = byParent.get(parent) ?? new Map<string, Set<string>>();
      byParent.set(parent, graph.set(from[0] ?? '', (graph.get(from[0] ?? '') ?? new Set()).add(to[0] ?? '')));
    }
  }
  return byParent;
}

function commonFolder(one: string, other: string): string {
  const parts = one.split(sep);
  const others = other.split(sep);
  const differs = parts.findIndex((part, index) => part !== others[index]);
  return parts.slice(0, differs).join(sep);
}

/** A path from a node back to itself, as `a → b → a`; undefined: there is none. */
function findCircle(graph: Graph): string | undefined {
  const done = new Set<string>();
  function visit(node: string, way: readonly string[]): string | undefined {
    if (way.includes(node)) return [...way.slice(way.indexOf(node)), node].join(' → ');
    if (done.has(node)) return undefined;
    for (const next of graph.get(node) ?? []) {
      const circle = visit(next, [...way, node]);
      if (circle !== undefined) return circle;
    }
    done.add(node);
    return undefined;
  }
  for (const node of graph.keys()) {
    const circle = visit(node, []);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

/** The levels of docs/architecture.md, the highest first: package names as in `@floe/NAME`, and `apps/*`. */
async function readLevels(): Promise<ReadonlyMap<string, number>> {
  const text = await readFile('docs/architecture.md', 'utf8');
  const list = text.slice(text.indexOf('go down this list only'));
  const levels = [...list.matchAll(/^(\d+)\. (.*)$/gm)].slice(0, 6);
  return new Map(
    levels.flatMap(([, level, names = '']) => [...names.matchAll(/`([a-z*/]+)`/g)].map(([, name = '']) => [name, Number(level)] as const)),
  );
}

/** Imports of one package by another, as `libs/git → libs/store`, that do not go down. */
async function importsUp(levels: ReadonlyMap<string, number>): Promise<readonly string[]> {
  const levelOf = (folder: string): number => levels.get(folder.startsWith('apps/') ? 'apps/*' : folder.slice('libs/'.length)) ?? Number.NaN;
  const apps = new Set(['agent', 'cli', 'dashboard', 'server']);
  const found = await Promise.all(
    [...(await readImports()).keys()].map(async (file) => {
      const from = file.split(sep).slice(0, 2).join('/');
      const names = [...(await readFile(file, 'utf8')).matchAll(/\bfrom '@floe\/([a-z]+)/g)].map(([, name = '']) => name);
      return names.map((name) => [from, apps.has(name) ? `apps/${name}` : `libs/${name}`] as const);
    }),
  );
  return found.flat().flatMap(([from, to]) => (levelOf(from) < levelOf(to) ? [] : [`${from} → ${to}`]));
}

describe('imports', () => {
  it('go down the list of docs/architecture.md only', async () => {
    const levels = await readLevels();
    expect([...levels.keys()].toSorted()).toEqual(['apps/*', ...(await readdir('libs'))].toSorted());
    expect(await importsUp(levels)).toEqual([]);
  });

  it('that go up are found', async () => {
    expect(await importsUp(new Map([...(await readLevels()), ['model', 0]]))).toContain('libs/protocol → libs/model');
  });

  it('form no circle of files, types included', async () => {
    expect(findCircle(await readImports())).toBeUndefined();
  });

  it('form no circle of sibling folders', async () => {
    const siblings = [...betweenSiblings(await readImports())];
    expect(siblings.length).toBeGreaterThan(2);
    const circles = siblings.flatMap(([parent, graph]) => {
      const circle = findCircle(graph);
      return circle === undefined ? [] : [`in ${parent}: ${circle}`];
    });
    expect(circles).toEqual([]);
  });

  it('that form a circle are found', () => {
    const graph = (edges: Readonly<Record<string, readonly string[]>>): Graph =>
      new Map(Object.entries(edges).map(([from, to]) => [from, new Set(to)]));
    expect(findCircle(graph({ a: ['b', 'c'], b: ['c'], c: [] }))).toBeUndefined();
    expect(findCircle(graph({ a: ['b'], b: ['c'], c: ['b'] }))).toBe('b → c → b');
    const imports = graph({ 'src/x/one.ts': ['src/y/two.ts'], 'src/y/three.ts': ['src/x/deep/four.ts'], 'src/y/two.ts': ['src/root.ts'] });
    expect(findCircle(betweenSiblings(imports).get('src') ?? new Map())).toBe('x → y → x');
  });
});
