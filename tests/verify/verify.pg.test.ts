import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha } from '@floe/model';
import type { ExportLine } from '@floe/protocol';
import { chainedLine, execInTest, generateKeyPem, parseChained, signerFromPem } from '@floe/runtime';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { run } from '../../apps/cli/src/test/harness.ts';
import { resealed } from '../../apps/cli/src/test/past-fleet.ts';
import { makeHistory, type History } from './history.ts';

// A server, and some hundred checks: long on a machine that does much else.
vi.setConfig({ hookTimeout: 300_000, testTimeout: 300_000 });

interface Checked {
  readonly isWhole: boolean;
  readonly releases: number;
  readonly reports: number;
  readonly auditEntries: number;
  readonly commits: number | null;
  readonly bent: { readonly count: number; readonly named: readonly { readonly line?: number; readonly what: string }[] };
  readonly notes: { readonly count: number; readonly named: readonly { readonly what: string }[] };
}

let dir: string;
let history: History;
let text: string;
let lines: readonly string[];
let values: readonly ExportLine[];
let repositoryDir: string;

const git = async (...args: string[]): Promise<string> => {
  const identity = ['-c', 'user.name=ada', '-c', 'user.email=ada@example.org', '-c', 'init.defaultBranch=main'];
  const env = { PATH: process.env['PATH'], GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };
  const { exitCode, stdout, stderr } = await execInTest('git', ['-C', repositoryDir, ...identity, ...args], { env });
  if (exitCode !== 0) throw new Error(stderr);
  return stdout.trim();
};

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-verify-'));
  repositoryDir = join(dir, 'repository');
  await mkdir(repositoryDir);
  await git('init', '-q');
  const commits: CommitSha[] = [];
  for (const n of [1, 2, 3]) {
    await git('commit', '-q', '--allow-empty', '-m', `Change ${n}`);
    commits.push((await git('rev-parse', 'HEAD')) as CommitSha);
  }
  history = await makeHistory(join(dir, 'data'), commits);
  await writeFile(join(dir, 'keys.txt'), history.keysText);
  await writeFile(join(dir, 'token'), history.server.token);
  const file = join(dir, 'fleet.jsonl');
  const exported = await run(['export', '--out', file, '--server', history.server.url, '--token-file', join(dir, 'token')], {});
  expect(exported).toMatchObject({ code: 0 });
  text = await readFile(file, 'utf8');
  lines = text.trimEnd().split('\n');
  values = lines.map((line) => JSON.parse(parseChained(line)!.body) as ExportLine);
});
afterAll(async () => {
  await history[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

let files = 0;
async function check(
  content: string,
  ...more: string[]
): Promise<{ readonly code: number; readonly said: string; readonly checked: Checked | undefined }> {
  const file = join(dir, `bent-${(files += 1)}.jsonl`);
  await writeFile(file, content, 'latin1');
  const { code, stdout, stderr } = await run(['verify', file, '--json', '--key', join(dir, 'keys.txt'), ...more], {
    PATH: process.env['PATH'] ?? '',
  });
  await rm(file);
  return { code, said: stdout + stderr, checked: stdout === '' ? undefined : (JSON.parse(stdout) as Checked) };
}

const joined = (some: readonly string[]): string => `${some.join('\n')}\n`;

test('R29: the history of a real fleet is whole, in the repository, too, and says what is worth a look', async () => {
  const { code, said, checked } = await check(text, '--repository', repositoryDir);
  expect(checked?.bent.named).toEqual([]);
  expect({ code, said }).toMatchObject({ code: 0 });
  // The server notes on its own that a rollout is finished, or has not yet.
  const auditEntries = indexesOf(({ kind }) => kind === 'audit').length;
  expect(checked).toMatchObject({ isWhole: true, releases: 9, reports: 11, auditEntries, commits: 3 });
  expect(auditEntries).toBeGreaterThanOrEqual(8);
  expect(checked?.notes.named.map(({ what }) => what).join('\n')).toContain('bob is on the release 2, below 3, by the permit');
  expect(checked?.notes.named.map(({ what }) => what).join('\n')).toContain('cyd does not run its newest release 3 (release 2');
  // What a server would make of it that signs its own work again is whole as well: what is bent below is not bent by that.
  expect((await check(resealed(values, history.serverSigner))).checked?.bent.named).toEqual([]);
});

describe('R29: whoever bends the file, without a key, is named', () => {
  test('at any byte', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(text.length - 2), fc.integer({ min: 0, max: 255 }), async (place, byte) => {
        const other = String.fromCharCode(byte);
        fc.pre(text[place] !== other);
        const { code, checked, said } = await check(text.slice(0, place) + other + text.slice(place + 1));
        const line = text.slice(0, place).split('\n').length;
        // The very beginning says whether it is an export at all.
        if (code === 2 && line === 1) return;
        expect(code, said).toBe(1);
        expect(
          checked?.bent.named.some((each) => Math.abs((each.line ?? 0) - line) <= 1),
          said,
        ).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('by a line that is dropped, repeated, moved, put in the place of another, or by a file that is cut', async () => {
    const Line = fc.nat(lines.length - 1);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom('drop', 'repeat', 'move', 'replace', 'cut', 'cut-line'), Line, Line, async (how, one, other) => {
        fc.pre(one !== other);
        const line = lines[one]!;
        const without = lines.filter((_, index) => index !== one);
        const bent = {
          drop: joined(without),
          repeat: joined([...lines.slice(0, other), line, ...lines.slice(other)]),
          move: joined([...without.slice(0, other), line, ...without.slice(other)]),
          replace: joined(lines.map((each, index) => (index === other ? line : each))),
          cut: joined(lines.slice(0, Math.max(1, one))),
          'cut-line': joined(lines).slice(0, joined(lines.slice(0, one)).length + Math.floor(line.length / 2)),
        }[how];
        fc.pre(bent !== text);
        const { code, said } = await check(bent);
        expect(code, `${how} ${one} ${other}: ${said}`).toBeGreaterThan(0);
      }),
      { numRuns: 150 },
    );
  });

  test('also when the hashes are made again around the end that the server signed', async () => {
    const spared = values.map((value) => (value.kind === 'host' ? { ...value, revokedAt: 7 } : value));
    let hash = '';
    const made = spared.map((value) => {
      const chained = chainedLine(hash, value);
      ({ hash } = chained);
      return chained.line;
    });
    const { code, checked } = await check(joined(made));
    expect(code).toBe(1);
    expect(checked?.bent.named).toEqual([
      { line: lines.length, what: expect.stringContaining('the server signed another content than this') as string },
    ]);
  });

  test('also when the hashes are made again, with a key of their own', async () => {
    const { code, checked } = await check(
      resealed(
        values.filter(({ kind }) => kind !== 'audit'),
        signerFromPem('server-1', generateKeyPem()),
      ),
    );
    expect(code).toBe(1);
    expect(checked?.bent.named.map(({ what }) => what).join('\n')).toContain('the end is not what a pinned server key signed');
  });
});

/** Texts and numbers of a value, by their paths. */
function* leaves(value: unknown, path: readonly string[] = []): Generator<readonly string[]> {
  if (typeof value !== 'object' || value === null) return void (yield path);
  for (const [key, each] of Object.entries(value)) yield* leaves(each, [...path, key]);
}

function changedAt(value: unknown, [key, ...rest]: readonly string[], change: (leaf: unknown) => unknown): unknown {
  if (key === undefined) return change(value);
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : { ...(value as object) }) as Record<string, unknown>;
  copy[key] = changedAt(copy[key], rest, change);
  return copy;
}

function otherValue(leaf: unknown, at: number): unknown {
  if (typeof leaf === 'number') return leaf + 1;
  if (typeof leaf !== 'string' || leaf === '') return 'x';
  const place = at % leaf.length;
  return leaf.slice(0, place) + (leaf[place] === 'b' ? 'c' : 'b') + leaf.slice(place + 1);
}

const indexesOf = (is: (value: ExportLine) => boolean): number[] => values.flatMap((value, index) => (is(value) ? [index] : []));
const replaced = (index: number, value: ExportLine): ExportLine[] => values.map((each, place) => (place === index ? value : each));

describe('R30: a server that bends what it has, and signs the export again, is named', () => {
  /** Nobody signed these, and nothing that is signed says the same. */
  const UNSIGNED = new Set(['header', 'end', 'key']);
  /** Of a refusal only the day, its actor and the action are chained; a count is no part of an entry. */
  const UNCHAINED = new Set(['count', 'lastAt']);

  test('for any byte of a field that is signed or chained', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.nat(), fc.nat(), async (which, field, at) => {
        const index = which % values.length;
        const value = values[index]!;
        fc.pre(!UNSIGNED.has(value.kind) && value.kind !== 'host' && value.kind !== 'revision');
        const paths = [...leaves(value)].filter((path) => path[0] !== 'kind');
        const path = paths[field % paths.length]!;
        fc.pre(!(value.kind === 'audit' && (UNCHAINED.has(path[0]!) || (value.refusedOn !== null && ['subject', 'detail'].includes(path[0]!)))));
        // The order of entries is what counts, and the last ones are under no signed end yet.
        fc.pre(!(value.kind === 'audit' && path[0] === 'id'));
        const bent = changedAt(value, path, (leaf) => otherValue(leaf, at)) as ExportLine;
        // Other base64 of the same bytes says the same.
        fc.pre(!isSameEnvelope(value, bent));
        const { code, checked, said } = await check(resealed(replaced(index, bent), history.serverSigner));
        expect(code, `line ${index + 1} ${value.kind} ${path.join('.')}: ${said}`).toBe(1);
        expect(
          checked?.bent.named.some(({ line }) => line === index + 1 || line === index + 2 || line === undefined) || value.kind === 'audit-head',
          said,
        ).toBe(true);
      }),
      { numRuns: 250 },
    );
  });
});

function isSameEnvelope(one: ExportLine, other: ExportLine): boolean {
  if (!('signature' in one) && !('envelope' in one)) return false;
  const bytes = (value: ExportLine): string => {
    const { payload, signature } = 'envelope' in value ? value.envelope : { payload: '', signature: 'signature' in value ? value.signature : '' };
    return `${Buffer.from(payload, 'base64').toString('hex')} ${Buffer.from(signature, 'base64').toString('hex')}`;
  };
  return (
    bytes(one) === bytes(other) && JSON.stringify({ ...one, envelope: 0, signature: 0 }) === JSON.stringify({ ...other, envelope: 0, signature: 0 })
  );
}

test('a hostile export steers no terminal, and fills no memory by one endless line', async () => {
  const steering = { ...values[0], repository: '\u001b]0;x\u0007\u001b[31m' } as ExportLine;
  const shown = await run(
    [
      'verify',
      await written(resealed([steering, ...values.slice(1), { kind: 'unreadable', what: '\u001b[2J\u202e' }], history.serverSigner)),
      '--key',
      join(dir, 'keys.txt'),
    ],
    {},
  );
  expect(shown.code).toBe(1);
  // eslint-disable-next-line no-control-regex -- what must not be there
  expect(shown.stdout + shown.stderr).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f\u202e]/);
  const endless = await check(`${lines[0]}\n${'x'.repeat(64 * 1024 * 1024)}`);
  expect(endless).toMatchObject({ code: 1 });
  expect(endless.checked?.bent.named.map(({ what }) => what).join('\n')).toContain('more than');
});

async function written(content: string): Promise<string> {
  const file = join(dir, `file-${(files += 1)}.jsonl`);
  await writeFile(file, content);
  return file;
}
