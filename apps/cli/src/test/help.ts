import { expect } from 'vitest';
import { run } from './harness.ts';

/** What `floe … --help` prints. */
export async function helpOf(...argv: string[]): Promise<string> {
  const { code, stdout } = await run([...argv, '--help'], {});
  expect(code).toBe(0);
  return stdout;
}

/** The names of the commands, as the help lists them. */
export function commandsIn(help: string): string[] {
  const list = help.split('Commands:\n')[1]?.split('\n\n')[0] ?? '';
  return [...list.matchAll(/^ {2}(\w[\w-]*)/gm)].map(([, name = '']) => name).filter((name) => name !== 'help');
}

/** A command that does something, and its options. */
export interface CommandHelp {
  readonly path: readonly string[];
  /** With their value, if they have one: `--reason <text>`. */
  readonly options: readonly string[];
}

/** Every command that does something. */
export async function everyCommand(...path: string[]): Promise<readonly CommandHelp[]> {
  const help = await helpOf(...path);
  const own = help.split('Global Options:')[0] ?? '';
  const options = [...own.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+(?: <[^>]+>)?)/gm)].map(([, option = '']) => option).filter((each) => each !== '--help');
  const below = await Promise.all(commandsIn(help).map(async (name) => await everyCommand(...path, name)));
  return below.length === 0 ? [{ path, options }] : below.flat();
}
