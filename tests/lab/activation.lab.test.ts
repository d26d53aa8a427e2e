import { isLabReady } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LabFleet } from './lab-fleet.ts';

const { isReady, why } = await isLabReady();

describe.skipIf(!isReady)(`activation on real systemd machines${isReady ? '' : ` (skipped: ${why})`}`, () => {
  let lab: LabFleet;
  beforeAll(async () => {
    lab = await LabFleet.create(0, { ada: {} });
  });
  afterAll(async () => {
    await lab[Symbol.asyncDispose]();
  });

  test('a push is switched to, proved, made the default, and nothing is left behind', async () => {
    const sha = await lab.push('A new message', { ada: { etc: { motd: 'hello' } } });
    const toplevel = (await lab.published(sha)).get('ada') ?? '';
    await lab.runs('ada', toplevel);
    await lab.isTidy('ada');
    expect(await lab.guest('ada').sh('cat /etc/static/motd')).toBe('hello');
  });
});
