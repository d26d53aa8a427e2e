import { HOST_STANDINGS, PRESENCES } from '@floe/model';
import { expect, test } from 'vitest';
import { attentionOf, sameAttention, verdictOf } from './attention.ts';
import { fleetView, hostView, NOW, revisionView } from './fixtures.ts';
import { awayWords, lostWords, presenceInWords } from './presence.ts';
import { needsAttention } from './standing.ts';

const DAY_MS = 24 * 3600_000;
const calm = { revision: revisionView({ rollout: null }) };
const silent = (host: string, presence: 'away' | 'stale' | 'lost', over = {}) =>
  hostView(host, { isConnected: false, presence, lastSeenAt: NOW - 40 * DAY_MS, actions: ['revoke'], ...over });

test('a host that is lost calls a person once, whatever else is wrong with it; a stale one calls nobody', () => {
  for (const standing of HOST_STANDINGS)
    for (const presence of PRESENCES.filter((each) => each !== 'online')) {
      const host = silent('ws1', presence, { standing });
      const online = hostView('ws1', { standing });
      expect(needsAttention(host), `${standing} ${presence}`).toBe(presence === 'lost' || needsAttention(online));
      expect(attentionOf(fleetView({ ...calm, hosts: [host] })).length).toBe(needsAttention(host) ? 1 : 0);
    }
});

test('lost hosts are told together, with what to do', () => {
  const hosts = [1, 2, 3].map((n) => silent(`ws${n}`, 'lost', { standing: 'away', problem: lostWords(NOW - 40 * DAY_MS) }));
  const fleet = fleetView({ ...calm, hosts: [...hosts, silent('ws4', 'stale', { standing: 'away' })] });
  expect(verdictOf(fleet).text).toBe('3 need you: ws1, ws2, ws3 lost');
  expect(sameAttention(attentionOf(fleet))).toMatchObject([
    {
      subjects: ['ws1', 'ws2', 'ws3'],
      message: 'lost: not heard of since 2026-08-12',
      todo: 'find out where it is, or run: floe revoke HOST --reason "…"',
      since: NOW - 40 * DAY_MS,
    },
  ]);
});

test('presences of a fleet in one line, of those that are enrolled', () => {
  const hosts = [hostView('a'), silent('b', 'away'), silent('c', 'lost'), hostView('d', { isConnected: false, isEnrolled: false, presence: 'away' })];
  expect(presenceInWords(hosts)).toBe('1 of 3 enrolled hosts online, 1 away, 1 lost');
  expect(presenceInWords([])).toBeNull();
});

test('of one host it is said before the time', () => {
  expect([hostView('a'), silent('a', 'away'), silent('a', 'stale'), silent('a', 'lost')].map(awayWords)).toEqual([
    null,
    'away since',
    'stale, away since',
    'lost, away since',
  ]);
});
