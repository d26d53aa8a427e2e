import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { handoverSha, type AgentDirective, type CommitSha, type StorePath } from '@floe/model';
import { createLogger, systemClock } from '@floe/runtime';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { releaseOf, withToldReleases, type KnownRelease } from '../state/known-releases.ts';
import { FakeMachine } from '../test/fake-machine.ts';
import { HOST, journalWith, REF, REPOSITORY, storePath } from '../test/fixtures.ts';
import { runningMetrics } from '../state/running-text.ts';
import { RunningRelease } from './running-release.ts';

let dir: string;
let lines: string[];
let machine: FakeMachine;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-running-'));
  lines = [];
  machine = new FakeMachine();
});
afterEach(async () => await rm(dir, { recursive: true }));

function told(name: string, commit: string, sequence: number): AgentDirective {
  const release = { repository: REPOSITORY, ref: REF, commit: commit as CommitSha, sequence, toplevel: storePath(name), closureSizeBytes: 1 };
  return { epoch: sequence, trial: null, mode: 'activate', isRetry: false, release, envelope: '' };
}

const commit = (letter: string): string => letter.repeat(40);

function here(): RunningRelease {
  return new RunningRelease({
    host: HOST,
    machine,
    knownFile: join(dir, 'state/releases.json'),
    runningFile: join(dir, 'run/running.json'),
    metricsFile: join(dir, 'metrics/floe.prom'),
    clock: systemClock,
    logger: createLogger({ level: 'warn', write: (line) => lines.push(line) }),
  });
}

async function file(): Promise<unknown> {
  return JSON.parse(await readFile(join(dir, 'run/running.json'), 'utf8'));
}

function runs(name: string): void {
  machine.observed = { ...machine.observed, current: storePath(name) };
}

describe('the commit of what runs', () => {
  it('is that of the system, not the one that the machine is told to have', async () => {
    const running = here();
    runs('a');
    await running.look(journalWith({ directive: told('a', commit('a'), 1) }));
    await running.look(journalWith({ directive: told('b', commit('b'), 2) }));
    expect(await file()).toEqual({ host: HOST, toplevel: storePath('a'), commit: commit('a'), sequence: 1, repository: REPOSITORY, ref: REF });
    runs('b');
    await running.look(journalWith({ directive: told('b', commit('b'), 2) }));
    expect(await file()).toMatchObject({ commit: commit('b') });
    expect(await readFile(join(dir, 'metrics/floe.prom'), 'utf8')).toContain(`commit="${commit('b')}",sequence="2"`);
  });

  it('is known again after a rollback, in a new start of the agent, and without its journal', async () => {
    const first = here();
    runs('a');
    await first.look(journalWith({ directive: told('a', commit('a'), 1) }));
    runs('b');
    await first.look(journalWith({ directive: told('b', commit('b'), 2) }));
    await rm(join(dir, 'run'), { recursive: true });
    runs('a');
    expect(await here().look(journalWith())).toMatchObject({ commit: commit('a'), sequence: 1 });
    expect(await file()).toMatchObject({ commit: commit('a') });
  });

  it('is not claimed of a system that this machine was never told to run, or that no commit has', async () => {
    runs('by-hand');
    await here().look(journalWith({ directive: told('a', commit('a'), 1) }));
    expect(await file()).toMatchObject({ toplevel: storePath('by-hand'), commit: null, sequence: null });
    runs('submitted');
    const handed = handoverSha('c'.repeat(64));
    await here().look(journalWith({ directive: told('submitted', handed, 3) }));
    expect(await file()).toMatchObject({ commit: null, sequence: 3 });
    expect(await readFile(join(dir, 'metrics/floe.prom'), 'utf8')).not.toContain(handed);
  });

  it('is for everyone to read, whatever the umask; the memory of the agent is its own', async () => {
    const before = process.umask(0o077);
    try {
      runs('a');
      await here().look(journalWith({ directive: told('a', commit('a'), 1) }));
    } finally {
      process.umask(before);
    }
    for (const [path, mode] of [
      ['run/running.json', 0o644],
      ['metrics/floe.prom', 0o644],
      ['state/releases.json', 0o600],
    ] as const)
      expect((await stat(join(dir, path))).mode & 0o777).toBe(mode);
  });

  it('stops nothing where a file cannot be written: said once, and written when it can be', async () => {
    await writeFile(join(dir, 'metrics'), 'no folder');
    const running = here();
    runs('a');
    const journal = journalWith({ directive: told('a', commit('a'), 1) });
    for (let looks = 0; looks < 3; looks += 1) expect(await running.look(journal)).toMatchObject({ commit: commit('a') });
    expect(lines).toHaveLength(1);
    await rm(join(dir, 'metrics'));
    await running.look(journal);
    expect(await readFile(join(dir, 'metrics/floe.prom'), 'utf8')).toContain(commit('a'));
  });

  it('survives a memory that cannot be read', async () => {
    await mkdir(join(dir, 'state'));
    for (const text of ['no json', '{}', '{"releases":[{"toplevel":"/etc"}]}']) {
      await writeFile(join(dir, 'state/releases.json'), text);
      runs('a');
      expect(await here().look(journalWith({ directive: told('a', commit('a'), 1) }))).toMatchObject({ commit: commit('a') });
    }
  });
});

describe('the memory of releases', () => {
  const anyTold = fc.record({ name: fc.integer({ min: 0, max: 80 }), letter: fc.constantFrom('a', 'b', 'c'), sequence: fc.nat(9) });

  it('is bounded, and has of each system what was told last, of what runs always', () => {
    fc.assert(
      fc.property(fc.array(anyTold, { maxLength: 200 }), fc.integer({ min: 0, max: 80 }), (all, runningName) => {
        const running = storePath(String(runningName));
        const last = new Map<StorePath, string>();
        let known: readonly KnownRelease[] = [];
        for (const { name, letter, sequence } of all) {
          const directive = told(String(name), commit(letter), sequence);
          last.set(directive.release.toplevel, directive.release.commit);
          known = withToldReleases(known, { directive, pending: null }, running);
          expect(releaseOf(known, directive.release.toplevel)?.commit).toBe(commit(letter));
        }
        expect(known.length).toBeLessThanOrEqual(50);
        for (const each of known) expect(each.commit).toBe(last.get(each.toplevel));
        expect(releaseOf(known, running)?.commit).toBe(last.get(running));
      }),
    );
  });

  it('is the same list when nothing is new', () => {
    const directive = told('a', commit('a'), 1);
    const known = withToldReleases([], { directive, pending: null }, null);
    expect(withToldReleases(known, { directive, pending: null }, null)).toBe(known);
  });
});

it('no name of a repository breaks the form of metrics', () => {
  const toplevel = storePath('a');
  const text = runningMetrics(HOST, { toplevel, commit: null, sequence: 1, repository: 'https://x/"\\\n', ref: REF });
  expect(text.split('\n')).toHaveLength(4);
  expect(text).toContain(String.raw`repository="https://x/\"\\\n"`);
});
