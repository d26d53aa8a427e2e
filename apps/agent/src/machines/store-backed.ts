import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { StorePath } from '@floe/model';
import type { CacheTrust, Nix } from '@floe/nix';
import { storePathBehind } from './links.ts';
import type { DownloadOptions, KeptPath } from './machine.ts';

export interface StoreBackedDeps {
  /** Where the links are that keep store paths alive. */
  readonly roots: string;
  /** Loaded when it is first needed: an idle agent has no use for it. */
  readonly nix: () => Promise<Nix>;
}

/** What all machines do with their store; and the answers of a machine that is not NixOS. */
export abstract class StoreBacked {
  readonly #deps: StoreBackedDeps;

  constructor(deps: StoreBackedDeps) {
    this.#deps = deps;
  }

  async download(path: StorePath, { keptAs, ...options }: DownloadOptions): Promise<void> {
    const nix = await this.#deps.nix();
    await nix.realise(path, { root: this.rootOf(keptAs), ...options });
  }

  async isValid(path: StorePath): Promise<boolean> {
    return await (await this.#deps.nix()).isValid(path);
  }

  async missingBytes(path: StorePath, options: Pick<DownloadOptions, 'substituters' | 'signal'>): Promise<number | undefined> {
    return await (await this.#deps.nix()).missingBytes(path, options);
  }

  async cacheTrust(path: StorePath, settings: Pick<DownloadOptions, 'substituters' | 'trustedPublicKeys' | 'signal'>): Promise<CacheTrust> {
    return await (await this.#deps.nix()).cacheTrust(path, settings);
  }

  async keep(as: KeptPath, path: StorePath): Promise<void> {
    await (await this.#deps.nix()).addRoot(this.rootOf(as), path);
  }

  async letGo(as: KeptPath): Promise<void> {
    await (await this.#deps.nix()).removeRoot(this.rootOf(as));
  }

  async kept(as: KeptPath): Promise<{ readonly path: StorePath; readonly since: number } | undefined> {
    const link = this.rootOf(as);
    const path = await storePathBehind(link);
    const stats = path === null ? undefined : await lstat(link).catch(() => undefined);
    return path === null || stats === undefined ? undefined : { path, since: stats.mtimeMs };
  }

  async dryActivate(_path: StorePath, _signal: AbortSignal): Promise<string | null> {
    return await Promise.resolve(null);
  }

  async bootBytesLacking(_path: StorePath): Promise<number> {
    return await Promise.resolve(0);
  }

  async switchHeldBy(): Promise<string | null> {
    return await Promise.resolve(null);
  }

  async activationLog(_activation: number): Promise<string> {
    return await Promise.resolve('');
  }

  protected rootOf(as: KeptPath): string {
    return join(this.#deps.roots, as);
  }
}
