import { NOTHING_OBSERVED, standingOf, type Desired, type Offer, type HostName, type StorePath } from '@floe/model';
import { factsOf, type HostRow } from '@floe/store';
import { describe, expect, test } from 'vitest';
import { judgeResume, judgeRetry } from './decisions.ts';
import { viewHost, type HostContext } from './fleet-view.ts';

const host = 'ada' as HostName;
const wanted = '/nix/store/wanted' as StorePath;
const other = '/nix/store/other' as StorePath;
const onWanted = { current: wanted, booted: other, profile: { generation: 2, toplevel: wanted } };
const release = { id: '1', host, sequence: 1, toplevel: wanted };
const desired: Desired = { kind: 'release', release, because: 'rollout' };
const kept: Desired = { ...desired, because: 'kept' };
const quarantined: Desired = { kind: 'quarantined', release };

const row: HostRow = {
  host,
  repositoryId: '1',
  machineId: 'm',
  publicKey: 'k',
  enrolledAt: 1,
  desired: { releaseId: '1', toplevel: wanted, sequence: 1, epoch: 3, since: 1 },
  epoch: 3,
  observed: NOTHING_OBSERVED,
  state: 'IDLE',
  stateToplevel: wanted,
  stateSince: 5,
  isConnected: true,
  acceptedSequence: 0,
  reportSeq: 0,
};
const overridden: HostRow = { ...row, detail: { code: 'LOCAL_OVERRIDE', message: 'its user went back' } };
const inSync: HostRow = { ...row, state: 'SUCCEEDED', observed: onWanted };
const drifted: HostRow = { ...row, state: 'SUCCEEDED' };

describe('where a host stands', () => {
  const offer: Offer = { kind: 'release', toplevel: wanted };
  test.each<[string, HostRow, boolean, string]>([
    ['has what it should', inSync, false, 'in-sync'],
    ['was started with it and is still verifying it', { ...inSync, state: 'BOOT_VERIFYING' }, false, 'under-way'],
    ['waits for its window', { ...row, state: 'DEFERRED' }, false, 'waiting'],
    ['waits for a restart', { ...row, state: 'BOOT_STAGED' }, false, 'waiting'],
    ['waits with something that is not wanted any more', { ...row, state: 'DEFERRED', stateToplevel: other }, false, 'under-way'],
    ['fell asleep while it waited', { ...row, state: 'DEFERRED', isConnected: false }, false, 'away'],
    ['is kept by its user', overridden, false, 'local-override'],
    ['is kept by its user since before the newest release', { ...overridden, stateToplevel: other }, false, 'local-override'],
    ['is kept by its user and asleep', { ...overridden, isConnected: false }, false, 'local-override'],
    ['is kept on what is wanted by now', { ...overridden, observed: onWanted }, false, 'in-sync'],
    ['idles without an override', { ...row, detail: { code: 'HELD', message: 'told to stay' } }, false, 'under-way'],
    ['rolled it back', { ...row, state: 'ROLLED_BACK' }, true, 'rolled-back'],
    ['rolled it back, as its agent knows though the database forgot', { ...row, state: 'ROLLED_BACK' }, false, 'rolled-back'],
    ['was told to try again', { ...row, state: 'ROLLED_BACK', retryEpoch: 3 }, false, 'under-way'],
    ['was told to resume', { ...overridden, retryEpoch: 3 }, false, 'under-way'],
    ['was told to resume, and sleeps', { ...overridden, retryEpoch: 3, isConnected: false }, false, 'away'],
    ['drifted', drifted, false, 'drifted'],
    ['is blocked', { ...row, state: 'BLOCKED' }, false, 'failed'],
    [
      'went back to what it had, and is told what it rolled back once before',
      { ...row, state: 'SUCCEEDED', stateToplevel: other },
      true,
      'rolled-back',
    ],
  ])('one that %s', (_, given, isQuarantined, standing) => {
    expect(standingOf(factsOf(given, isQuarantined ? quarantined : desired, offer))).toBe(standing);
  });

  test('a host that waits or is kept is no problem; its agent says why', () => {
    const context: HostContext = {
      now: 9,
      desired,
      offer,
      quarantines: [],
      evaluation: undefined,
      desiredCommit: null,
      progress: null,
      presence: 'online',
      trouble: null,
    };
    const detail = { code: 'ON_BATTERY', message: 'on battery' };
    expect(viewHost({ ...row, state: 'DEFERRED', detail }, context)).toMatchObject({ standing: 'waiting', problem: null, detail });
    expect(viewHost(overridden, context)).toMatchObject({ standing: 'local-override', problem: null, stateSince: 5 });
    expect(viewHost({ ...overridden, retryEpoch: 3 }, context)).toMatchObject({ standing: 'under-way', problem: null });
  });
});

describe('floe retry', () => {
  test.each<[string, HostRow, Desired]>([
    ['rolled back what is wanted', { ...row, state: 'ROLLED_BACK' }, quarantined],
    ['runs an older system after it rolled back what is wanted', { ...row, state: 'SUCCEEDED', stateToplevel: other }, quarantined],
    ['could not go back', { ...row, state: 'ROLLBACK_FAILED' }, desired],
    ['refused it', { ...row, state: 'REJECTED' }, desired],
    ['is blocked', { ...row, state: 'BLOCKED' }, desired],
    ['is away', { ...row, state: 'ROLLED_BACK', isConnected: false }, quarantined],
    ['was lost after its go, and is back in a pause', { ...row, state: 'STAGED', went: { toplevel: wanted, until: 8 } }, kept],
    ['has nothing of it any more', { ...row, stateToplevel: other, went: { toplevel: wanted, until: 8 } }, kept],
  ])('has a host try again that %s', (_, given, asked) => {
    expect(judgeRetry(given, asked, 9)).toEqual({ kind: 'retry', toplevel: wanted });
  });

  test.each<[string, HostRow, Desired, string, RegExp]>([
    ['in sync', inSync, desired, 'NOTHING_TO_RETRY', /nothing to try again: ada is in sync/],
    ['under way', { ...row, state: 'DOWNLOADING' }, desired, 'NOTHING_TO_RETRY', /ada is under way/],
    ['away', { ...row, isConnected: false }, desired, 'NOTHING_TO_RETRY', /away.*when it is back/],
    ['waiting', { ...row, state: 'DEFERRED', detail: { code: 'X', message: 'on battery' } }, desired, 'NOTHING_TO_RETRY', /waits \(on battery\)/],
    ['kept by its user', overridden, desired, 'NOTHING_TO_RETRY', /kept by its user.*floe resume ada/],
    ['drifted', drifted, desired, 'NOTHING_TO_RETRY', /floe resume ada/],
    ['revoked', { ...row, revokedAt: 2, state: 'ROLLED_BACK' }, quarantined, 'HOST_REVOKED', /floe enrol ada/],
    ['not enrolled', { ...row, publicKey: undefined }, desired, 'HOST_NOT_ENROLLED', /floe enrol ada/],
    ['without a release', row, { kind: 'nothing' }, 'NO_RELEASE', /no release/],
    ['still away after its go', { ...row, isConnected: false, went: { toplevel: wanted, until: 8 } }, kept, 'NOTHING_TO_RETRY', /away/],
    ['at it since its go', { ...row, state: 'VERIFYING', went: { toplevel: wanted, until: 8 } }, kept, 'NOTHING_TO_RETRY', /under way/],
    ['in the time of its go', { ...row, state: 'STAGED', went: { toplevel: wanted, until: 9 } }, kept, 'NOTHING_TO_RETRY', /under way/],
    ['back, and gets its go', { ...row, state: 'STAGED', went: { toplevel: wanted, until: 8 } }, desired, 'NOTHING_TO_RETRY', /under way/],
    ['told already', { ...row, state: 'ROLLED_BACK', retryEpoch: 3 }, desired, 'ALREADY_TOLD', /already/],
  ])('says what is the case of a host that is %s', (_, given, asked, code, message) => {
    expect(judgeRetry(given, asked, 9)).toEqual({ kind: 'nothing', code, message: expect.stringMatching(message) as string });
  });
});

describe('floe resume', () => {
  test.each<[string, HostRow, Desired]>([
    ['an override', overridden, desired],
    ['an override of a host that is away', { ...overridden, isConnected: false }, desired],
    ['an override that began before the newest release', { ...overridden, stateToplevel: other }, desired],
    ['drift', drifted, desired],
  ])('ends %s', (_, given, asked) => {
    expect(judgeResume(given, asked)).toEqual({ kind: 'retry', toplevel: wanted });
  });

  test.each<[string, HostRow, Desired, RegExp]>([
    ['in sync', inSync, desired, /in sync/],
    ['kept on what is wanted by now', { ...overridden, observed: onWanted }, desired, /in sync/],
    ['rolled back by itself', { ...row, state: 'ROLLED_BACK' }, quarantined, /floe retry ada/],
    ['waiting', { ...row, state: 'BOOT_STAGED' }, desired, /waits/],
    ['revoked', { ...overridden, revokedAt: 2 }, desired, /floe enrol ada/],
    ['told already', { ...overridden, retryEpoch: 3 }, desired, /already/],
  ])('says what is the case of a host that is %s', (_, given, asked, message) => {
    expect(judgeResume(given, asked)).toMatchObject({ kind: 'nothing', message: expect.stringMatching(message) as string });
  });
});
