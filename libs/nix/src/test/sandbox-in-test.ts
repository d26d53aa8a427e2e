import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { withBelongings, writeBelongings, type Sandbox, type SandboxedCommand } from '../sandbox.ts';

/** Runs commands for tests: with one home, and without a sandbox. */
export function sandboxInTest(folder: string, launch: (file: string, args: readonly string[]) => Omit<SandboxedCommand, symbol>): Sandbox {
  const prepare = async (file: string, args: readonly string[]): Promise<SandboxedCommand> =>
    await Promise.resolve({ ...launch(file, args), [Symbol.asyncDispose]: async () => await Promise.resolve() });
  return {
    folder,
    prepare,
    async prepareWith(file, args, belongings) {
      const home = await mkdtemp(join(folder, 'home-'));
      await writeBelongings(home, belongings);
      const command = await prepare(file, args);
      return { ...command, env: { ...withBelongings(command.env, home, belongings), HOME: home } };
    },
    prepareKept: prepare,
    forgetKept: async () => await Promise.resolve(false),
    problem: async () => await Promise.resolve(undefined),
  };
}
