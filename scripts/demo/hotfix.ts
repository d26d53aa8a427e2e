import { join } from 'node:path';
import { exec } from '@floe/runtime';
import { eventually, type TestFleet } from '@floe/testkit';

const CLI = join(import.meta.dirname, '../../apps/cli/src/main.ts');
const TIMEOUT_MS = 60_000;

/** Waits until the first ring of the commit soaks, and passes over that with the `floe` command. What it printed. */
export async function hotfix(fleet: TestFleet, commit: string, reason: string): Promise<string> {
  await eventually(
    `the first ring of ${commit.slice(0, 7)} soaks`,
    async () => ((await fleet.revision(commit))?.rollout?.state === 'SOAKING' ? true : undefined),
    { timeoutMs: TIMEOUT_MS },
  );
  const login = ['--server', fleet.serverUrl, '--token-file', join(fleet.dir, 'server/admin-token')];
  const { exitCode, stdout, stderr } = await exec(process.execPath, [CLI, ...login, 'rollout', 'hotfix', commit, '--reason', reason], {
    timeoutMs: TIMEOUT_MS,
  });
  if (exitCode !== 0) throw new Error(`floe rollout hotfix ended with ${exitCode}: ${stderr}`);
  return `$ floe rollout hotfix ${commit.slice(0, 7)} --reason "${reason}"\n${stdout.trimEnd()}`;
}
