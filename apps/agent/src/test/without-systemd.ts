import type { Exec } from '@floe/runtime';

/** Runs what is given to `systemd-run` itself, with its environment: a test's machine may have no systemd. */
export function withoutSystemd(run: Exec): Exec {
  return async (file, args, options) => {
    const at = args.indexOf('--');
    const [program, ...rest] = args.slice(at + 1);
    return file !== 'systemd-run' || at < 0 || program === undefined ? await run(file, args, options) : await run(program, rest, options);
  };
}
