// Runs in the process of each test file, before the file is loaded: isolates tests from the developer's settings, and fails a
// file that leaves something running.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { watchLeaks } from './leaks.ts';

const home = mkdtempSync(join(tmpdir(), 'floe-test-home-'));
for (const name of ['XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'XDG_CONFIG_DIRS', 'XDG_DATA_HOME', 'XDG_STATE_HOME', 'NIX_PATH']) {
  Reflect.deleteProperty(process.env, name);
}
Object.assign(process.env, {
  HOME: home,
  TZ: 'UTC',
  // A "dumb" one has no keys to edit a line with.
  TERM: 'xterm',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_TERMINAL_PROMPT: '0',
  GIT_AUTHOR_NAME: 'Floe tests',
  GIT_AUTHOR_EMAIL: 'tests@floe.invalid',
  GIT_COMMITTER_NAME: 'Floe tests',
  GIT_COMMITTER_EMAIL: 'tests@floe.invalid',
  NIX_CONFIG: nixConfig(process.getuid?.() === 0),
});

// Without substituters, because a build would wait for a cache that it does not need. Root without a daemon builds as root.
function nixConfig(isRoot: boolean): string {
  const lines = ['experimental-features = nix-command flakes', 'substituters ='];
  if (isRoot) lines.push('sandbox = false', 'build-users-group =');
  return lines.join('\n');
}

// npm run fuzz: more cases of every property without a number of its own, and a repeatable seed. npm test: a seed of the commit.
const [runs, seed] = [process.env['FLOE_FUZZ_RUNS'], process.env['FLOE_FUZZ_SEED'] ?? process.env['FLOE_TEST_SEED']];
if (runs !== undefined || seed !== undefined) {
  const { default: fc } = await import('fast-check');
  fc.configureGlobal({ ...(runs === undefined ? {} : { numRuns: Number(runs) }), ...(seed === undefined ? {} : { seed: Number(seed) }) });
}

const leaks = watchLeaks();
// Hooks run in reverse order: this one, the first, runs after all cleanup of the file.
afterAll(async () => {
  rmSync(home, { recursive: true, force: true });
  const left = await leaks.settle();
  if (left.length > 0) throw new Error(`This test file leaves running: ${left.join(', ')}. End them in afterEach or afterAll.`);
});
