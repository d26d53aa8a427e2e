import type { HostName } from '@floe/model';
import { seal, type HostReport } from '@floe/protocol';
import { FloeError, generateKeyPem, signerFromPem, silentLogger, systemClock } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import { SignedReportWriter } from './signed-reports.ts';

test('one that the database does not take keeps no other one out', async () => {
  const signer = signerFromPem('host', generateKeyPem());
  const stored: string[] = [];
  const store = {
    hostStatements: {
      save: async (batch: readonly { readonly host: HostName }[]) => {
        await Promise.resolve();
        const hosts = batch.map(({ host }) => String(host));
        if (hosts.includes('bad')) throw new FloeError('STORE_DATA_REFUSED', 'no such value', { retryable: false });
        stored.push(...hosts);
      },
    },
  };
  await using writer = new SignedReportWriter({ store, clock: systemClock, logger: silentLogger });
  for (const name of ['ada', 'bad', 'cyd']) {
    const own = { host: name as HostName, machineId: 'a'.repeat(32), bootId: 'boot', nonce: 'nonce' };
    const rest = { release: null, floor: 0, isTrial: false, isOverridden: false, toplevel: null, code: null };
    const observed = { current: null, booted: null, profile: null };
    const report: HostReport = { version: 1, ...own, seq: 1, epoch: 1, state: 'IDLE', ...rest, observed, at: 1 };
    expect(writer.take(seal(signer, 'floe/report', report), { ...own, calledAs: name, publicKey: signer.publicKey })).toBe('taken');
  }
  await eventually('the others are stored', () => (stored.length >= 2 ? true : undefined));
  expect(stored.toSorted()).toEqual(['ada', 'cyd']);
});
