import { describe, expect, test } from 'vitest';
import { pathOf, ringHost } from '../test/rollout-facts.ts';
import { twinsThatFailed, untriedGroups } from './groups.ts';
import type { RingHost } from './progress.ts';

const fleet = (...hosts: readonly string[]): readonly RingHost[] =>
  hosts.map((text) => {
    const [what = '', platform] = text.split(' on ');
    return { ...ringHost(what), platform };
  });
const image = (name: string, hosts: readonly RingHost[]): readonly RingHost[] => hosts.map((host) => ({ ...host, toplevel: pathOf(name) }));
const untried = (hosts: readonly RingHost[]) => untriedGroups(hosts).map(({ hosts: names, count }) => `${names.join(' ')} of ${count}`);

describe('a group of hosts with the same change', () => {
  test('is a ring and a platform, where each host has a system of its own', () => {
    expect(untried(fleet('a:0 verified on x86', 'b:0 away on x86', 'p:0 away on arm', 'q:0 to-come on arm', 'w:1 away on x86'))).toEqual([
      'p q of 2',
    ]);
    expect(untried(fleet('a:0 verified on x86', 'p:0 verified on arm', 'q:0 away on arm'))).toEqual([]);
  });

  test('is also each system that several hosts have, whatever other hosts of their ring run', () => {
    expect(untried([...fleet('a:0 verified', 'b:0 verified'), ...image('kiosk', fleet('k:0 away', 'l:0 away'))])).toEqual(['k l of 2']);
    expect(untried([...fleet('a:0 verified'), ...image('kiosk', fleet('k:0 verified', 'l:0 away', 'm:1 away', 'n:1 away'))])).toEqual([]);
  });

  test('is none where one host is alone with its change, or no other is asked', () => {
    expect(untried(fleet('a:0 away on x86', 'p:0 failed on arm', 'w:1 waiting on x86'))).toEqual([]);
    expect(untried(fleet('a:0 away', 'b:0 away-', 'c:0 failed!'))).toEqual([]);
  });

  test('is named by its first hosts, in whatever order they were read', () => {
    const hosts = fleet('e:0 away', 'd:0 away', 'c:0 away', 'b:0 away', 'a:0 failed');
    expect(untriedGroups(hosts)).toEqual([{ hosts: ['a', 'b', 'c'], count: 5 }]);
    expect(untriedGroups(hosts.toReversed())).toEqual(untriedGroups(hosts));
  });
});

test('a failure belongs to the system, too: of hosts that are asked to run the same one', () => {
  const failed = [...image('kiosk', fleet('k:1 failed')), ...fleet('w:1 failed')];
  expect(twinsThatFailed(image('kiosk', fleet('c:0 to-come')), failed).map(({ host }) => host)).toEqual(['k']);
  expect(twinsThatFailed(image('kiosk', fleet('c:0 to-come-')), failed)).toEqual([]);
});
