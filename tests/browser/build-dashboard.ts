import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export interface Dashboard extends AsyncDisposable {
  readonly dir: string;
}

/** The page as it is shipped, in a folder of its own. */
export async function buildDashboard(): Promise<Dashboard> {
  const dir = await mkdtemp(join(tmpdir(), 'floe-dashboard-'));
  const root = fileURLToPath(new URL('../..', import.meta.url));
  // A process of its own: in this one, Vite would keep the standard input open.
  await promisify(execFile)(
    process.execPath,
    [join(root, 'node_modules/vite/bin/vite.js'), 'build', 'apps/dashboard', '--outDir', dir, '--emptyOutDir'],
    { cwd: root },
  );
  return { dir, [Symbol.asyncDispose]: async () => await rm(dir, { recursive: true, force: true }) };
}
