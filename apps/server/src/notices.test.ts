import { systemClock } from '@floe/runtime';
import { expect, test } from 'vitest';
import { Notices, tellOfBuilders } from './notices.ts';

test('what builders tell is shown with their names until they tell no more, beside the notices of the server', () => {
  const notices = new Notices();
  let news = 0;
  const deps = { notices, clock: systemClock, onNews: () => void (news += 1) };
  notices.set('CACHE_TOO_LARGE', 'its own', 1);
  const full = [{ code: 'CACHE_TOO_LARGE', message: 'full' }];
  tellOfBuilders(deps, [
    { owner: '1', name: 'vm-1', notices: full },
    { owner: '2', name: 'vm-2', notices: full },
  ]);
  expect(notices.list()).toMatchObject([
    { code: 'CACHE_TOO_LARGE', message: 'its own' },
    { code: 'FLOE_BUILDER_CACHE_TOO_LARGE', message: 'floe-builder on vm-1: full; floe-builder on vm-2: full' },
  ]);
  tellOfBuilders(deps, [{ owner: '2', name: 'vm-2', notices: full }]);
  tellOfBuilders(deps, [{ owner: '2', name: 'vm-2', notices: full }]);
  expect(notices.list()[1]).toMatchObject({ message: 'floe-builder on vm-2: full' });
  tellOfBuilders(deps, []);
  expect(notices.list()).toMatchObject([{ message: 'its own' }]);
  expect(news).toBe(3);
});
