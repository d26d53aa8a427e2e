import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AGENT_STATES,
  HOST_STANDINGS,
  nextRevisionState,
  nextRolloutState,
  REVISION_EVENTS,
  REVISION_STATES,
  ROLLOUT_EVENTS,
  ROLLOUT_STATES,
} from '@floe/model';
import { execInTest } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

// "A missing cell does not compile": copies of the tables from which cells were deleted are compiled, all at once.

const ROOT = join(import.meta.dirname, '../..');
const MODEL = join(ROOT, 'libs/model/src');

const AGENT_EVENTS = 38;

interface StateTable {
  readonly file: string;
  /** What the table begins with. It ends with the next line that is `};`. */
  readonly start: string;
  readonly cells: number;
}

const TABLES: readonly StateTable[] = [
  // Three states share a row.
  { file: 'agent/table.ts', start: 'const AT_REST: Row = {', cells: AGENT_EVENTS },
  { file: 'agent/table.ts', start: 'export const TABLE: ', cells: (AGENT_STATES.length - 3) * AGENT_EVENTS + 3 },
  { file: 'revision-state.ts', start: 'const TABLE: ', cells: REVISION_STATES.length * REVISION_EVENTS.length },
  { file: 'rollout/table.ts', start: 'const TABLE: ', cells: ROLLOUT_STATES.length * ROLLOUT_EVENTS.length },
  { file: 'rollout/table.ts', start: 'const PROMOTES: ', cells: ROLLOUT_STATES.length },
  { file: 'standing.ts', start: 'const NEEDS_ACTION: ', cells: HOST_STANDINGS.length },
  { file: 'rollout-state.ts', start: 'const COULD_RUN_LATER: ', cells: HOST_STANDINGS.length },
];

/** A cell with its comma: `event: handler,`, a shorthand, or the name of an ignored event. */
const CELL = /(?<=[\s(])(?:'[\w-]+'|\w+)(?:: (?:'\w+'|\w+))?,/g;
const ROW = /^ {2}\w+: \{$/gm;

interface Cell {
  readonly name: string;
  readonly index: number;
  /** Line of the row, where the compiler reports a missing cell of it; undefined in a table that is one row. */
  readonly rowLine: number | undefined;
}

function cellsOf(text: string, start: string): readonly Cell[] {
  const from = text.indexOf(start) + start.length;
  const code = text.slice(0, text.indexOf('\n};\n', from) + 1).replaceAll(/\/\/.*/g, (comment) => ' '.repeat(comment.length));
  const lineOf = (index: number): number => text.slice(0, index).split('\n').length;
  const rows = [...code.matchAll(ROW)].map(({ index }) => ({ index, end: code.indexOf('\n  },', index) }));
  return [...code.matchAll(CELL)].flatMap(({ 0: cell, index }) => {
    if (index < from) return [];
    const row = rows.find((each) => each.index < index && index < each.end);
    return { name: cell, index, rowLine: row && lineOf(row.index) };
  });
}

/** Splits cells into groups that have at most one cell of each row, so that each missing cell has an error of its own. */
function oneOfEachRow(cells: readonly Cell[]): readonly (readonly Cell[])[] {
  const groups: Cell[][] = cells.filter(({ rowLine }) => rowLine === undefined).map((cell) => [cell]);
  const rows = Object.values(
    Object.groupBy(
      cells.filter(({ rowLine }) => rowLine !== undefined),
      ({ rowLine }) => `${rowLine}`,
    ),
  );
  const longest = Math.max(0, ...rows.map((row = []) => row.length));
  for (let nth = 0; nth < longest; nth += 1) groups.push(rows.flatMap((row = []) => row.slice(nth, nth + 1)));
  return groups;
}

function without(text: string, cells: readonly Cell[]): string {
  return cells
    .toSorted((one, other) => other.index - one.index)
    .reduce((rest, { index, name }) => rest.slice(0, index) + rest.slice(index + name.length), text);
}

/** Additions that need new cells: where, what, and which file then does not compile. */
const ADDITIONS = {
  'an event of the agent': [
    'agent/events.ts',
    'export type AgentEvent =',
    "export type AgentEvent =\n  | { readonly type: 'new-event' }",
    'agent/table.ts',
  ],
  'a state of the agent': ['agent/state.ts', "'IDLE',", "'IDLE', 'NEW_STATE',", 'agent/table.ts'],
  'an event of a revision': ['revision-state.ts', "  'accepted',", "  'accepted', 'new-event',", 'revision-state.ts'],
  'a state of a revision': ['revision-state.ts', "  'RECEIVED',", "  'RECEIVED', 'NEW_STATE',", 'revision-state.ts'],
  'an event of a rollout': ['rollout/table.ts', "  'skipped',", "  'skipped', 'new-event',", 'rollout/table.ts'],
  'a state of a rollout': ['rollout-state.ts', "'READY',", "'READY', 'NEW_STATE',", 'rollout/table.ts'],
  'a standing': ['standing.ts', "  'in-sync',", "  'in-sync', 'new-standing',", 'standing.ts'],
} as const;

/** A copy of the model's sources, without tests. */
async function copyModel(to: string): Promise<string> {
  await cp(MODEL, to, { recursive: true, filter: (file) => !file.endsWith('.test.ts') && file !== join(MODEL, 'test') });
  return to;
}

/** Compiles all of the folder; resolves to the places of the errors: file and line. */
async function compile(dir: string): Promise<readonly { readonly file: string; readonly line: number }[]> {
  const config = { extends: join(ROOT, 'tsconfig.json'), compilerOptions: { types: [] }, include: ['.'] };
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify(config));
  await writeFile(join(dir, 'package.json'), '{ "type": "module" }');
  const { stdout } = await execInTest(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', dir, '--pretty', 'false'], {
    cwd: dir,
  });
  return [...stdout.matchAll(/^(.+?)\((\d+),\d+\): error/gm)].map(([, file = '', line]) => ({ file, line: Number(line) }));
}

describe('the tables of the state machines', () => {
  let dir: string;
  let errors: Awaited<ReturnType<typeof compile>>;
  const copies: { readonly file: string; readonly cells: readonly Cell[] }[] = [];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'floe-tables-'));
    const model = await copyModel(join(dir, 'model'));
    for (const table of TABLES) {
      const text = await readFile(join(MODEL, table.file), 'utf8');
      const found = cellsOf(text, table.start);
      expect(found, `${table.file}: ${table.start}`).toHaveLength(table.cells);
      for (const cells of oneOfEachRow(found)) {
        const file = table.file.replace(/\.ts$/, `-${copies.length}.ts`);
        await writeFile(join(model, file), without(text, cells));
        copies.push({ file: `model/${file}`, cells });
      }
    }
    for (const [what, [file, from, to]] of Object.entries(ADDITIONS)) {
      const changed = join(await copyModel(join(dir, what)), file);
      const text = await readFile(changed, 'utf8');
      expect(text).toContain(from);
      await writeFile(changed, text.replace(from, to));
    }
    errors = await compile(dir);
  });
  afterAll(async () => await rm(dir, { recursive: true }));

  it('do not compile while any of their cells is missing', () => {
    const unnoticed = copies.flatMap(({ file, cells }) => {
      const lines = errors.filter((error) => error.file === file).map(({ line }) => line);
      return cells
        .filter(({ rowLine }) => (rowLine === undefined ? lines.length === 0 : !lines.includes(rowLine)))
        .map(({ name }) => `${file}: ${name}`);
    });
    expect(unnoticed).toEqual([]);
  });

  it('compile as they are', () => {
    const copied = new Set(copies.map(({ file }) => file));
    expect(errors.filter(({ file }) => file.startsWith('model/') && !copied.has(file))).toEqual([]);
  });

  it.each(Object.entries(ADDITIONS))('do not compile when %s is new and has no cells yet', (what, [, , , table]) => {
    expect(errors.map(({ file }) => file)).toContain(`${what}/${table}`);
  });
});

/** The table of SPEC.md in which `state` names itself; `RECEIVED | accepted → VERIFYING · refused → REJECTED` becomes triples. */
function specTable(spec: string, heading: string): readonly string[] {
  const section = spec.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? '';
  return section
    .split('\n')
    .flatMap((line) => {
      const [, states = '', cells = ''] = /^\| ([A-Z_, ]+) \| (.+) \|$/.exec(line) ?? [];
      return states.split(', ').flatMap((state) => {
        return [...cells.matchAll(/([a-z-]+)(?: \([^)]*\))? → ([A-Z_]+)/g)].map(([, event, next]) => `${state} ${event} ${next}`);
      });
    })
    .toSorted();
}

describe('the tables of SPEC.md', () => {
  const arrows = <State extends string, Event extends string>(
    states: readonly State[],
    events: readonly Event[],
    next: (state: State, event: Event) => State | null,
  ): readonly string[] =>
    states
      .flatMap((state) => events.map((event) => [state, event, next(state, event)] as const))
      .flatMap(([state, event, to]) => (to === null ? [] : [`${state} ${event} ${to}`]))
      .toSorted();

  it('say of revisions and rollouts what the code does', async () => {
    const spec = await readFile(join(MODEL, '../SPEC.md'), 'utf8');
    expect(specTable(spec, 'Revision')).toEqual(arrows(REVISION_STATES, REVISION_EVENTS, nextRevisionState));
    expect(specTable(spec, 'Rollout')).toEqual(arrows(ROLLOUT_STATES, ROLLOUT_EVENTS, nextRolloutState));
  });
});

it('no two invariants of SPEC.md have one number', async () => {
  const spec = await readFile(join(MODEL, '../SPEC.md'), 'utf8');
  const numbers = [...spec.matchAll(/^- ([A-Z]\d+[a-z]?)\. /gm)].map(([, number]) => number);
  expect(numbers.length).toBeGreaterThan(50);
  expect(numbers).toEqual([...new Set(numbers)]);
});
