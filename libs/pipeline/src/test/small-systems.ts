import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorePath } from '@floe/model';
import { CacheFolder, createNix, loadOrCreateCacheKey, openPublisher, type CacheKey, type Nix } from '@floe/nix';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { parsePublish } from '../builder/publish-config.ts';
import { hasElsewhere, readableCache } from '../builder/readable-cache.ts';
import { openSettings } from '../builder/settings-reader.ts';
import type { CacheTarget } from '../deps.ts';

const SETTINGS = ['experimental-features = nix-command', 'substituters =', 'sandbox = false', 'build-users-group ='].join('\n');

/** A store of its own with small systems, a cache's folder and key, and builders by settings. */
export class SmallSystems implements AsyncDisposable {
  readonly dir: string;
  readonly key: CacheKey;
  /** What its clock says. */
  elapsedMs = 0;
  #files = 0;

  private constructor(dir: string, key: CacheKey) {
    this.dir = dir;
    this.key = key;
  }

  static async create(): Promise<SmallSystems> {
    const dir = await mkdtemp(join(tmpdir(), 'floe-systems-'));
    for (const each of ['server', 'cache']) await mkdir(join(dir, each));
    return new SmallSystems(dir, await loadOrCreateCacheKey(join(dir, 'cache-key'), 'cache-test-1'));
  }

  env(home = 'server'): NodeJS.ProcessEnv {
    return { ...process.env, HOME: join(this.dir, home), NIX_CONFIG: SETTINGS };
  }

  nix(name = 'server'): Nix {
    return createNix({ exec, logger: silentLogger, env: this.env(name), store: { kind: 'root', dir: join(this.dir, name) } });
  }

  /** Each is a text that refers to a text of its own, and to one that all have in common. */
  async make(names: readonly string[]): Promise<readonly StorePath[]> {
    const system = (name: string): string => `(builtins.toFile "${name}" "\${shared} \${builtins.toFile "of-${name}" "${name}"}")`;
    const expression = `let shared = builtins.toFile "shared" "shared"; in [ ${names.map(system).join(' ')} ]`;
    const args = ['--store', `local?root=${join(this.dir, 'server')}`, '--eval', '--strict', '--json', '--read-write-mode', '-E', expression];
    const { stdout, stderr, exitCode } = await execInTest('nix-instantiate', args, { env: this.env() });
    if (exitCode !== 0) throw new Error(stderr);
    return JSON.parse(stdout) as readonly StorePath[];
  }

  /** What a builder with these settings publishes with. */
  builder(settings: Readonly<Record<string, string>>): { readonly nix: Nix; readonly cache: CacheTarget } {
    const read = openSettings(settings, 'floe-builder');
    const publish = parsePublish(read);
    if (read.problems.length > 0) throw new Error(read.problems.join('\n'));
    const nix = this.nix();
    const cacheDir = join(this.dir, 'cache');
    const folder = { dir: cacheDir, ...this.key };
    return {
      nix,
      cache: {
        ...readableCache({ cacheDir, publish }, this.key.publicKey),
        hasElsewhere: hasElsewhere({ cacheDir, publish }, this.key.publicKey, { monotonic: () => this.elapsedMs }),
        publisher: openPublisher(publish.method, { nix, exec, logger: silentLogger, env: this.env(), folder }),
        folder: publish.method?.kind === 'command' ? undefined : new CacheFolder(cacheDir, () => Date.now()),
      },
    };
  }

  async file(text: string, mode = 0o600): Promise<string> {
    const path = join(this.dir, `file-${(this.#files += 1)}`);
    await writeFile(path, text, { mode });
    return path;
  }

  /** Whether a new machine can download it. */
  async canDownload(path: StorePath, urls: readonly string[], keys = [this.key.publicKey]): Promise<boolean> {
    const name = `machine-${(this.#files += 1)}`;
    await mkdir(join(this.dir, name));
    const away = this.nix(name);
    await away.realise(path, { root: join(this.dir, name, 'root'), substituters: urls, trustedPublicKeys: keys });
    return await away.isValid(path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await execInTest('chmod', ['-R', 'u+w', this.dir]);
    await rm(this.dir, { recursive: true, force: true });
  }
}
