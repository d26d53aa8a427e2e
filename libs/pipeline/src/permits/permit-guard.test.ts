import type { CommitSha, HostName, StorePath } from '@floe/model';
import { seal, type PermitStatement, type ReleaseStatement } from '@floe/protocol';
import { execInTest, generateKeyPem, signerFromPem, systemClock } from '@floe/runtime';
import { describe, expect, test } from 'vitest';
import { releaserOf } from '../releaser.ts';
import { guardedReleaser } from './permit-guard.ts';
import { RecordedStable } from './recorded-stable.ts';

const signer = signerFromPem('release-1', generateKeyPem());
const HOST = 'ada' as HostName;
const ABOUT = { repository: 'https://forge.example/fleet.git', ref: 'refs/heads/main' };
const systemOf = (sequence: number): StorePath => `/nix/store/${`${sequence}`.padStart(32, '0')}-nixos-system-ada` as StorePath;
const stableOf = (sequence: number) => ({ ...ABOUT, sequence, toplevel: systemOf(sequence) });
const HOUR = 3600_000;

describe('a release that becomes stable while a permit to it is asked for', () => {
  // The log is written first, then the database says that it is.
  const moments = [0, 1, 2, 3].flatMap((written) => [0, 1, 2, 3].flatMap((later) => [[written, written + later]] as const));
  test.each(moments)('is not refused, when its statement is written before question %i and noted before %i', async (written, noted) => {
    const machineId = 'a'.repeat(32);
    let step = 0;
    const guard = guardedReleaser(releaserOf(signer), {
      operatorKeys: { file: '/nonexistent', path: undefined, exec: execInTest },
      recorded: { newestOf: async () => await Promise.resolve(stableOf(step++ < written ? 4 : 5)) },
      isToBeLogged: async () => await Promise.resolve(step++ < noted),
      keyOf: async () => await Promise.resolve(undefined),
      newestOf: async () => await Promise.resolve(undefined),
      usedWords: { use: async () => await Promise.resolve(true) },
      store: { hostStatements: { ofHost: async () => await Promise.resolve([]) } },
      clock: systemClock,
    });
    const expiresAt = systemClock.now() + HOUR;
    const release: ReleaseStatement = {
      version: 1,
      ...stableOf(5),
      host: HOST,
      commit: '5'.repeat(40) as CommitSha,
      narHash: 'sha256:abc',
      closureSizeBytes: 1,
      system: 'x86_64-linux',
      issuedAt: 1,
      expiresAt,
    };
    const why = { actor: 'grace', reason: 'no printer', issuedAt: 1, expiresAt, nonce: 'n' };
    const onlyFor = { machineId, bootId: 'boot', epoch: 7 };
    const statement: PermitStatement = { version: 1, ...stableOf(5), host: HOST, machineId, floor: 6, ...why, onlyFor };
    const answer = await guard.permit(seal(signer, 'floe/release', release), statement);
    // Not yet, or what is asked next.
    if (answer !== undefined) expect(answer).toEqual({ refused: expect.stringMatching(/^the key of ada is not known/) as string });
  });
});

test('what is written while the log is read is seen by who asks from then on, and no two read at once', async () => {
  const written = [{ number: 1, ...ABOUT, hosts: [{ host: HOST, ...stableOf(4) }] }];
  const finish: (() => void)[] = [];
  let [now, most] = [0, 0];
  const recorded = new RecordedStable({
    statements: {
      async readStable() {
        const statements = [...written];
        most = Math.max(most, (now += 1));
        await new Promise<void>((resolve) => void finish.push(resolve));
        now -= 1;
        return { statements } as never;
      },
    },
    releaseKeys: [],
    newestReleased: async () => await Promise.resolve({ sequence: 9 }),
  });
  const before = recorded.newestOf([HOST]);
  await expect.poll(() => finish.length).toBe(1);
  written.push({ number: 2, ...ABOUT, hosts: [{ host: HOST, ...stableOf(5) }] });
  const after = [recorded.newestOf([HOST]), recorded.newestOf([HOST])];
  finish[0]?.();
  expect(await before).toMatchObject({ sequence: 4 });
  await expect.poll(() => finish.length).toBe(2);
  finish[1]?.();
  for (const each of after) expect(await each).toMatchObject({ sequence: 5 });
  expect(most).toBe(1);
});
