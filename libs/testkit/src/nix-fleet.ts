import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

const EXAMPLE_FLEET = join(import.meta.dirname, '../../../examples/fleet');

/** Settings of Nix for tests and the demo: nothing from the network, no sandbox, no build users. For NIX_CONFIG. */
export const testNixSettings = ['experimental-features = nix-command flakes', 'substituters =', 'sandbox = false', 'build-users-group ='].join('\n');

/** The files of examples/fleet by their paths in it, for this machine's architecture. */
export async function exampleFleetFiles(): Promise<Record<string, string>> {
  const entries = await readdir(EXAMPLE_FLEET, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const files = await Promise.all(
    paths.map(async (path) => [path.slice(EXAMPLE_FLEET.length + 1), forThisMachine(await readFile(path, 'utf8'))] as const),
  );
  return Object.fromEntries(files);
}

function forThisMachine(text: string): string {
  return process.arch === 'arm64' ? text.replaceAll('x86_64-linux', 'aarch64-linux') : text;
}
