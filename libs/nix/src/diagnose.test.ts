import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';
import { silentLogger, type Exec, type ExecResult } from '@floe/runtime';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { build } from './build.ts';
import { RepositoryCommand } from './command.ts';
import { judge } from './diagnose.ts';
import { evaluateHosts, type HostEvaluation } from './evaluate.ts';
import { readFleetPolicy } from './fleet-policy.ts';
import { listHosts } from './list-hosts.ts';
import { sandboxInTest } from './test/sandbox-in-test.ts';

const DRV = `/nix/store/${'0'.repeat(32)}-system-ada.drv`;
const TOPLEVEL = `/nix/store/${'1'.repeat(32)}-system-ada` as StorePath;
const SOURCE = `/nix/store/${'2'.repeat(32)}-source`;
const FLAKE = 'git+file:///mirror?ref=main&rev=0';
const signal = new AbortController().signal;

/**
 * Texts that Nix prints when it cannot work, when memory or a disk is full, or when a download fails. Expressions can throw each
 * of them, too.
 */
const NIX_SAYS = [
  'No space left on device',
  'writing to file: Disk quota exceeded',
  'database or disk is full',
  "cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused",
  "cannot open connection to remote store 'daemon'",
  "executing SQLite statement 'insert': database is locked (in '/nix/var/nix/db/db.sqlite')",
  "undefined variable 'sqlite'",
  'The option `services.x.type` is not of type sqlite',
  "builder for '/nix/store/00000000000000000000000000000000-sqlite-3.45.1.drv' failed with exit code 1",
  "program 'git' failed with exit code 128",
  'error: out of memory',
  'out of memory',
  'std::bad_alloc',
  'Cannot allocate memory',
  'interrupted by the user',
  'cannot build missing derivation',
  "a 'aarch64-linux' is required to build, but I am a 'x86_64-linux'",
  "unable to download 'https://example.org': HTTP error 503",
  "some substitutes for '/nix/store/x' failed",
  'hash mismatch in fixed-output derivation',
  'content-addressed',
  "(use '--show-trace' to show detailed location information)",
];
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom(...NIX_SAYS),
  fc.tuple(fc.string(), fc.constantFrom(...NIX_SAYS)).map((parts) => parts.join(' ')),
);

const at = { file: null, line: null, column: null };
const json = (event: object): string => `@nix ${JSON.stringify(event)}`;
/** Log lines by which a repository's text can come out of Nix. */
const line = fc.oneof(
  text.map((thrown) => json({ action: 'msg', level: 0, msg: `\u001b[31;1merror:\u001b[0m ${thrown}`, raw_msg: thrown, ...at })),
  text.map((traced) => json({ action: 'msg', level: 0, msg: `trace: ${traced}` })),
  text.map((warned) => json({ action: 'msg', level: 1, msg: `warning: ${warned}`, raw_msg: warned, ...at })),
  text.map((printed) => json({ action: 'result', id: 1, type: 101, fields: [printed] })),
  text.map((printed) => printed.replaceAll('\n', ' ')).filter((printed) => !printed.startsWith('@nix ')),
);
/** Log lines by which a builder, here of an import-from-derivation, can write in Nix's own format (seen on 2.8). */
const builderLine = fc.oneof(
  line,
  text.map((forged) => json({ action: 'msg', level: 0, msg: forged })),
  fc.constantFrom(...NIX_SAYS).map((forged) => json({ action: 'msg', level: 0, msg: `error: ${forged}` })),
  fc.constant(json({ action: 'msg', level: 3, msg: `  ${DRV}` })),
);
const lines = fc.array(line, { maxLength: 12 });
const STARTED = json({ action: 'start', id: 1, level: 3, type: 105, text: '', fields: [DRV, '', 1, 1] });
/** All text that Nix may pass on: from expressions, from a builder, and from both. */
const linesOfAll = fc.tuple(lines, fc.array(builderLine, { maxLength: 12 })).map(([before, after]) => [...before, STARTED, ...after]);

/** A Nix whose command about the repository fails with the text `said`; its other commands succeed. */
function failing(said: readonly string[], isAbout: (args: readonly string[]) => boolean, more: readonly string[] = []): RepositoryCommand {
  const exec: Exec = async (_file, args, options) => {
    const ended = (exitCode: number, stdout = ''): ExecResult => ({ end: 'exited', exitCode, signal: null, stdout, stderr: '', durationMs: 1 });
    if (isAbout(args)) {
      for (const each of [...more, ...said]) options?.onStderrLine?.(each);
      return ended(1);
    }
    const expression = args.at(args.indexOf('--expr') + 1) ?? '';
    if (expression.includes('hasLock')) return ended(0, JSON.stringify({ path: SOURCE, hasLock: true }));
    if (expression.includes('readFile')) return ended(0, JSON.stringify('{"root":"root","nodes":{"root":{}}}'));
    if (expression.includes('attrNames')) return ended(0, '[]');
    if (args.includes('show-derivation'))
      return ended(0, JSON.stringify({ [DRV]: { system: 'x86_64-linux', env: {}, outputs: { out: { path: TOPLEVEL } } } }));
    if (args.includes('show-config')) return ended(0, JSON.stringify({ system: { value: 'x86_64-linux' } }));
    return ended(args.includes(TOPLEVEL) ? 1 : 0);
  };
  const sandbox = sandboxInTest('/nowhere', (file, args) => ({ file, args, env: {} }));
  return new RepositoryCommand({ exec, logger: silentLogger, sandbox });
}

describe('whatever a repository says', () => {
  let dir = '';
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'floe-diagnose-'));
  });
  afterAll(async () => {
    await rm(dir, { recursive: true, force: true });
  });

  it('a host that does not evaluate is that host’s error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(lines, linesOfAll), async (said) => {
        const results: HostEvaluation[] = [];
        const command = failing(said, (args) => args.some((each) => each.includes('config.system.build.toplevel')));
        const options = { concurrency: 1, timeoutMs: 1_000, maxMemoryBytes: 1, signal, onResult: (each: HostEvaluation) => results.push(each) };
        await evaluateHosts(command, FLAKE, ['ada' as HostName], options);
        expect(results).toMatchObject([{ kind: 'failed', code: 'EVALUATION_FAILED', isRetryable: false }]);
      }),
    );
  });

  it('a flake that cannot be read is that commit’s error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(lines, linesOfAll), async (said) => {
        const command = failing(said, (args) => args.some((each) => each.includes('getFlake')));
        await expect(listHosts(command, FLAKE, { timeoutMs: 1_000, maxMemoryBytes: 1, signal })).rejects.toMatchObject({
          code: 'FLAKE_INVALID',
          retryable: false,
        });
      }),
    );
  });

  it('a policy that cannot be read is that commit’s error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(lines, linesOfAll), async (said) => {
        const command = failing(said, (args) => args.some((each) => each.includes('getFlake')));
        await expect(readFleetPolicy(command, FLAKE, { timeoutMs: 1_000, maxMemoryBytes: 1, signal })).rejects.toMatchObject({
          code: 'POLICY_INVALID',
          retryable: false,
        });
      }),
    );
  });

  it('a build that was started and failed is that host’s error', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(builderLine, { maxLength: 12 }), async (said) => {
        const command = failing(said, (args) => args.includes('--realise'), [STARTED]);
        const result = await build(
          command,
          { addRoot: async () => undefined },
          { drvPath: DRV, toplevel: TOPLEVEL },
          { signal, timeoutMs: 1_000, root: join(dir, 'root') },
        );
        expect(result).toMatchObject({ kind: 'failed', code: 'BUILD_FAILED', isRetryable: false });
      }),
    );
  });
});

describe('a diagnosis', () => {
  const evidence = { end: 'exited', signal: null, hasRunOutOfMemory: false, health: { kind: 'well' } } as const;
  const full = { kind: 'disk-full', folder: '/nix/store', freeBytes: 1 } as const;
  it.each([
    [{}, 'own'],
    [{ hasRunOutOfMemory: true }, 'out-of-memory'],
    [{ end: 'killed', signal: 'SIGKILL' }, 'out-of-memory'],
    [{ end: 'killed', signal: 'SIGSEGV' }, 'own'],
    [{ end: 'timed-out' }, 'timed-out'],
    [{ end: 'aborted' }, 'stopped'],
    [{ health: full }, 'server-unwell'],
    [{ health: full, hasRunOutOfMemory: true }, 'server-unwell'],
    [{ health: { kind: 'store-away' } }, 'server-unwell'],
  ] as const)('of %j is %s', (change, kind) => {
    expect(judge({ ...evidence, ...change })).toMatchObject({ kind });
  });
});
