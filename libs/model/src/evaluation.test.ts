import { describe, expect, test } from 'vitest';
import type { HostName, StorePath } from './brands.ts';
import { diffFleet } from './evaluation.ts';

const name = (text: string): HostName => text as HostName;
const path = (text: string): StorePath => text as StorePath;
const evaluated = (host: string, toplevel: string) => ({ host: name(host), drvPath: `${toplevel}.drv`, toplevel: path(toplevel) });

describe('the diff of a revision', () => {
  const released = new Map([
    [name('ada'), path('/a1')],
    [name('bob'), path('/b1')],
    [name('cyd'), path('/c1')],
    [name('dan'), path('/d1')],
  ]);

  test('compares each host with its last release', () => {
    const diff = diffFleet([evaluated('ada', '/a2'), evaluated('bob', '/b1'), evaluated('eve', '/e1')], [name('cyd')], released);
    expect(diff).toEqual({ changed: ['ada'], unchanged: ['bob'], added: ['eve'], removed: ['dan'] });
  });
  test('a host that does not evaluate is not removed', () => {
    expect(diffFleet([], [...released.keys()], released)).toEqual({ changed: [], unchanged: [], added: [], removed: [] });
  });
});
