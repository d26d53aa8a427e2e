import { join } from 'node:path';

/** Where the run's set-up put Floe's programs as they are shipped, which start in a tenth of the time that sources take; without it they are sources. */
const FOLDER = 'FLOE_TEST_PROGRAMS';
const SOURCES = join(import.meta.dirname, '../../../apps');

const BUNDLED = { server: 'floe-server.mjs', builder: 'floe-builder.mjs', agent: 'floe-agent.mjs', cli: 'floe.mjs' } as const;

/** The file that Node runs for one of Floe's programs. */
export function programFile(program: keyof typeof BUNDLED): string {
  const folder = process.env[FOLDER];
  return folder === undefined ? join(SOURCES, program, 'src/main.ts') : join(folder, BUNDLED[program]);
}
