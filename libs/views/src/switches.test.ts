import { expect, test } from 'vitest';
import { NOW, reportView, storePath } from './fixtures.ts';
import { switchesOf } from './switches.ts';

const failed = { state: 'ROLLED_BACK', hasLog: true, detail: { code: 'CHECK', message: 'no printer' } } as const;

test('each switch is one row, with its outcome, its reason and all that was measured', () => {
  const switches = switchesOf([
    reportView('ws1', { seq: 9, epoch: 5, state: 'DOWNLOADING', timings: null, receivedAt: NOW }),
    reportView('ws1', { seq: 8, epoch: 4, state: 'IDLE', timings: null, detail: { code: 'LOCAL_OVERRIDE', message: 'its user went back' } }),
    reportView('ws1', { seq: 7, epoch: 4, ...failed, timings: { rollbackMs: 5 }, receivedAt: NOW - 10 }),
    reportView('ws1', { seq: 6, epoch: 4, state: 'ACTIVATING', timings: { activateMs: 3 }, receivedAt: NOW - 30 }),
  ]);
  expect(switches).toMatchObject([
    { state: 'DOWNLOADING', isOver: false, detail: null },
    {
      state: 'ROLLED_BACK',
      isOver: true,
      detail: 'no printer',
      timings: { activateMs: 3, rollbackMs: 5 },
      startedAt: NOW - 30,
      at: NOW - 10,
    },
  ]);
  expect(switches.map(({ reports }) => reports.length)).toEqual([1, 3]);
});

test('an agent that counts from 1 again has switches of its own, and one that read nothing is about nothing', () => {
  const switches = switchesOf([
    reportView('ws1', { series: 1, epoch: 4, toplevel: null, state: 'REJECTED' }),
    reportView('ws1', { series: 0, epoch: 4, toplevel: storePath('b') }),
  ]);
  expect(switches.map(({ key, toplevel }) => [key, toplevel])).toEqual([
    ['1 4', null],
    ['0 4', storePath('b')],
  ]);
  expect(switchesOf([])).toEqual([]);
});
