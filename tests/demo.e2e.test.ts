import { join } from 'node:path';
import { exec } from '@floe/runtime';
import { describe, expect, it } from 'vitest';

describe('the demo', () => {
  it('shows ten pushes, each as it should be, and sums up in JSON', async () => {
    const main = join(import.meta.dirname, '../scripts/demo/main.ts');
    const result = await exec(process.execPath, [main, '--once'], { timeoutMs: 500_000 });
    expect(result.exitCode, `${result.stdout}\n${result.stderr}`).toBe(0);
    const summary = JSON.parse(result.stdout.trimEnd().split('\n').at(-1) ?? '') as {
      ok: boolean;
      pushes: {
        push: string;
        hosts: Record<string, { outcome: string; isAsExpected: boolean }>;
        stagesMs: object;
        statuses: { context: string; state: string }[];
      }[];
    };
    expect(summary.ok).toBe(true);
    expect(
      summary.pushes.map(({ hosts }) =>
        Object.entries(hosts)
          .map(([host, { outcome }]) => `${host} ${outcome}`)
          .join(', '),
      ),
    ).toEqual([
      'ada switched, bob switched, cyd switched',
      'ada switched, bob untouched, cyd untouched',
      'ada switched, bob switched, cyd switched',
      'ada untouched, bob untouched, cyd rolled-back',
      'ada untouched, bob behind, cyd switched',
      'ada untouched, bob switched, cyd untouched',
      'ada switched, bob switched, cyd switched',
      'ada rolled-back, bob not-reached, cyd not-reached',
      'ada switched, bob switched, cyd switched',
      'ada switched, bob switched, cyd switched',
    ]);
    expect(result.stdout).toMatch(/\$ floe rollout hotfix \w{7} --reason "the hole in sshd is being used"\n.*hotfix/i);
    expect(summary.pushes.map(({ statuses }) => statuses.map(({ context, state }) => `${context} ${state}`).join(', '))).toEqual([
      'floe/evaluate success, floe/build success, floe/rollout success',
      'floe/evaluate success, floe/build success, floe/rollout success',
      'floe/evaluate success, floe/build success, floe/rollout success',
      'floe/evaluate success, floe/build success, floe/rollout failure',
      'floe/evaluate failure, floe/build success, floe/rollout success',
      'floe/evaluate success, floe/build success, floe/rollout success',
      'floe/evaluate success, floe/build success, floe/rollout success',
      'floe/evaluate success, floe/build success, floe/rollout failure',
      'floe/evaluate success, floe/build success, floe/rollout success',
      'floe/evaluate success, floe/build success, floe/rollout success',
    ]);
    // As it is told to whoever watches, below each push.
    expect(result.stdout.match(/on the commit: floe\/rollout +(?:success|failure)/g)).toHaveLength(10);
    expect(Object.keys(summary.pushes[0]?.stagesMs ?? {})).toEqual([
      'received',
      'fetched',
      'evaluated',
      'built',
      'published',
      'directed',
      'switched',
      'statusPosted',
    ]);
  });
});
