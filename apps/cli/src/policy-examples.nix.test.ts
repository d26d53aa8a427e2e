import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FleetPolicy } from '@floe/protocol';
import { execInTest } from '@floe/runtime';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeHome, run } from './test/harness.ts';

const DOC = join(import.meta.dirname, '../../../docs/policy.md');

interface Host {
  readonly labels?: readonly string[];
}
type Fleet = Readonly<Record<string, Host>>;

function numbered(prefix: string, count: number, host: Host = {}): Fleet {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`${prefix}${index + 1}`, host]));
}

/** The fleets that the examples are about. */
const FLEETS: Readonly<Record<string, Fleet>> = {
  family: { 'laptop-ada': {}, 'laptop-ben': {}, 'desktop-study': {}, photos: {} },
  company: { ...numbered('pc-it', 3), ...numbered('pc', 42), dns1: {}, dns2: {}, files: {}, mail: {}, web: {} },
  enterprise: {
    ...numbered('nb-test', 8, { labels: ['canary'] }),
    ...numbered('srv-test', 4, { labels: ['canary', 'server'] }),
    ...numbered('nb', 798, { labels: ['laptop'] }),
    ...numbered('db', 20, { labels: ['server', 'tier=internal', 'role=database'] }),
    ...numbered('app', 120, { labels: ['server', 'tier=internal'] }),
    ...numbered('web', 44, { labels: ['server', 'tier=public', 'role=web'] }),
    ...numbered('ns', 6, { labels: ['server', 'tier=public', 'role=dns'] }),
  },
};

let doc: string;
let policies: Readonly<Record<string, unknown>>;
let home: Awaited<ReturnType<typeof makeHome>>;

beforeAll(async () => {
  doc = await readFile(DOC, 'utf8');
  home = await makeHome();
  // One evaluation for all.
  const examples = [...doc.matchAll(/^```nix\n# (\w+)\n((?:.|\n)*?)^```$/gm)].map(([, name, nix]) => `${name} = ${nix};`);
  const { stdout, stderr } = await execInTest('nix', ['eval', '--json', '--expr', `{ ${examples.join('\n')} }`]);
  if (stdout === '') throw new Error(stderr);
  policies = JSON.parse(stdout) as typeof policies;
});
afterAll(async () => {
  await home[Symbol.asyncDispose]();
});

async function check(name: string, ...more: string[]) {
  const file = join(home.folder, `${name}.json`);
  await writeFile(file, JSON.stringify({ floe: policies[name], hosts: FLEETS[name], checks: ['fleet'] }));
  return await run(['policy', 'check', file, ...more], {});
}

describe('the examples of docs/policy.md', () => {
  test('are one for each fleet', () => {
    expect(Object.keys(policies)).toEqual(Object.keys(FLEETS).toSorted());
    expect(Object.values(FLEETS).map((fleet) => Object.keys(fleet).length)).toEqual([4, 50, 1000]);
  });

  test.each(Object.keys(FLEETS))('%s: has neither a problem nor anything that is not meant', async (name) => {
    const { code, stdout, stderr } = await check(name, '--json');
    expect({ code, stderr, ...JSON.parse(stdout) }).toMatchObject({ code: 0, stderr: '', problems: [], notes: [] });
  });

  test('the family’s has the output that the command prints', async () => {
    const { stdout } = await check('family');
    expect(/^# family\n(?:.|\n)*?^```text\n((?:.|\n)*?)^```$/m.exec(doc)?.[1]).toBe(stdout);
  });

  test.each(['company', 'enterprise'])('%s: the rings have as many hosts as the table says', async (name) => {
    const { hosts, rings } = JSON.parse((await check(name, '--json')).stdout) as {
      hosts: readonly { ring: string }[];
      rings: readonly { name: string }[];
    };
    const rows = rings.map((ring) => `| ${ring.name} | ${hosts.filter((host) => host.ring === ring.name).length} |`);
    const [, told] = new RegExp(`^# ${name}\\n(?:.|\\n)*?^\\|---\\|---\\|\\n((?:\\|.*\\n)+)`, 'm').exec(doc) ?? [];
    expect(told?.trimEnd().split('\n')).toEqual(rows);
  });
});

test('docs/policy.md explains every attribute', () => {
  const told = (schema: v.ObjectEntries): string[] => Object.keys(schema).filter((key) => !doc.includes(`\`${key}\``));
  const { entries } = FleetPolicy;
  expect(told(entries)).toEqual([]);
  const ring = entries.rings.wrapped.pipe[0].pipe[0].item.entries;
  expect(told(ring)).toEqual([]);
  expect(told(ring.windows.wrapped.pipe[0].item.entries)).toEqual([]);
});
