import type { Sandbox, SandboxedCommand } from '../sandbox.ts';

/** Runs commands for tests: with one home, and without a sandbox. */
export function sandboxInTest(folder: string, launch: (file: string, args: readonly string[]) => Omit<SandboxedCommand, symbol>): Sandbox {
  const prepare = async (file: string, args: readonly string[]): Promise<SandboxedCommand> =>
    await Promise.resolve({ ...launch(file, args), [Symbol.asyncDispose]: async () => await Promise.resolve() });
  return {
    folder,
    prepare,
    prepareKept: prepare,
    forgetKept: async () => await Promise.resolve(false),
    problem: async () => await Promise.resolve(undefined),
  };
}
