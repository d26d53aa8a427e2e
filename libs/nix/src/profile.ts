import { mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { StorePath } from '@floe/model';
import type { NixCommand } from './command.ts';
import { commandFailed } from './failure.ts';

/** Makes `path` the profile's current generation. The path must be valid. */
export async function setProfile(command: NixCommand, profile: string, path: StorePath): Promise<void> {
  await mkdir(dirname(profile), { recursive: true });
  const { result, log, isOk } = await command.run('nix-env', ['--profile', profile, '--set', path]);
  if (!isOk) throw commandFailed(`setting the profile ${profile}`, log, result);
}

/** Protects a valid path from the garbage collector by a link. */
export async function addRoot(command: NixCommand, link: string, path: StorePath): Promise<void> {
  await mkdir(dirname(link), { recursive: true });
  const args = ['--realise', path, '--add-root', link, '--indirect', '--option', 'substituters', ''];
  const { result, log, isOk } = await command.run('nix-store', args);
  if (!isOk) throw commandFailed(`keeping ${path}`, log, result);
}

/** Reverts {@link addRoot}. */
export async function removeRoot(link: string): Promise<void> {
  await rm(link, { force: true });
}
