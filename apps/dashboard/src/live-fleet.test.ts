import type { FleetEvent } from '@floe/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { applyEvents, fromSnapshot } from './live-fleet.ts';
import { NOW, fleetView, hostView, revisionView } from '@floe/views/fixtures';

const event = (version: number, host = hostView('ws2', { standing: 'failed' })): FleetEvent => ({ type: 'host', version, at: NOW, host });

test('names are in the order in which people count', () => {
  expect(fromSnapshot(fleetView()).names).toEqual(['ws2', 'ws10']);
});

test('a change replaces what was known of its host, and of no other', () => {
  const before = fromSnapshot(fleetView());
  const after = applyEvents(before, [event(41)]);
  const [ws2, ws10] = after.names;
  if (ws2 === undefined || ws10 === undefined) throw new Error('two hosts');
  expect(after.hosts.get(ws2)?.standing).toBe('failed');
  expect(after.hosts.get(ws10)).toBe(before.hosts.get(ws10));
  expect(before.hosts.get(ws2)?.standing).toBe('in-sync');
});

test('what the snapshot already holds is passed over', () => {
  const before = fromSnapshot(fleetView());
  expect(applyEvents(before, [event(39), event(40)])).toBe(before);
});

test('a host that is new takes its place', () => {
  const after = applyEvents(fromSnapshot(fleetView()), [event(41, hostView('ws3'))]);
  expect(after.names).toEqual(['ws2', 'ws3', 'ws10']);
});

test('late news of an older revision does not replace the newest', () => {
  const before = fromSnapshot(fleetView());
  const older = revisionView({ sequence: 6, subject: 'older' });
  const newer = revisionView({ sequence: 8, subject: 'newer' });
  const told = (version: number, revision: typeof older): FleetEvent => ({ type: 'revision', version, at: NOW, revision });
  expect(applyEvents(before, [told(41, newer), told(42, older)]).revision?.subject).toBe('newer');
});

test('in batches or one by one, the outcome is the same', () => {
  const standings = ['in-sync', 'failed', 'away', 'rolled-back'] as const;
  const change = fc.record({ host: fc.constantFrom('ws1', 'ws2', 'ws10', 'ws30'), standing: fc.constantFrom(...standings) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
      const events = changes.map(({ host, standing }, index) => event(41 + index, hostView(host, { standing })));
      const start = fromSnapshot(fleetView());
      const oneByOne = events.reduce((fleet, each) => applyEvents(fleet, [each]), start);
      expect(applyEvents(start, events)).toEqual(oneByOne);
    }),
  );
});
