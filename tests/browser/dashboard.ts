import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const ROOT = join(import.meta.dirname, '../..');

/** The page as it is shipped. */
export const DASHBOARD_DIR = join(ROOT, 'apps/dashboard/dist');

/** Vitest's global set-up: builds the page once, unless `npm test` or an earlier run has built it from the same sources. */
export async function setup(): Promise<void> {
  const script = 'root=$1; . "$root/scripts/bootstrap.sh"; lock; use_dashboard';
  await promisify(execFile)('sh', ['-euc', script, 'sh', ROOT], {
    env: { ...process.env, PATH: `${join(process.execPath, '..')}:${process.env['PATH']}` },
  });
}
