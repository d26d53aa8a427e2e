import { rename, writeFile } from 'node:fs/promises';
import type { LabGuest } from '@floe/testkit';
import type { LabHost, LabMachine } from './hosts.ts';

const CLOCK = '/var/lib/lab/clock';
const PRELOAD = '/var/lib/lab/clock.mjs';

/** Guests share the kernel's clocks, so their agents read other ones: all but that of durations, which stands still in a sleep. */
const PRELOADED = `import { readFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';

const { uptime } = os;
const { now } = Date;
const clock = () => JSON.parse(readFileSync('${CLOCK}', 'utf8'));
os.uptime = () => uptime() + clock().sleptMs / 1000;
Date.now = () => now() + clock().sleptMs + clock().aheadMs;
syncBuiltinESMExports();
`;

/** Of a machine whose clock a test sets. */
export const CLOCK_SETTINGS: LabHost = { settings: { NODE_OPTIONS: `--import=${PRELOAD}` } };

interface Clock {
  /** How long it slept. */
  readonly sleptMs: number;
  /** How wrong its clock is. */
  readonly aheadMs: number;
}

const text = (clock: Clock): string => JSON.stringify(clock);

/** The files of such a machine. */
export function clockFiles(aheadMs = 0): NonNullable<LabMachine['files']> {
  return { [PRELOAD]: PRELOADED, [CLOCK]: text({ sleptMs: 0, aheadMs }) };
}

export async function setClock(guest: LabGuest, clock: Clock): Promise<void> {
  const path = guest.path(CLOCK);
  await writeFile(`${path}.new`, text(clock));
  await rename(`${path}.new`, path);
}
