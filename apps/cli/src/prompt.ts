import { createInterface } from 'node:readline';
import { text as readAll } from 'node:stream/consumers';
import { Writable } from 'node:stream';
import { FloeError } from '@floe/runtime';
import type { Cli } from './cli.ts';

/** Asks on the terminal without echoing the input; without a terminal, reads stdin to its end. */
export async function readHidden({ deps, out }: Pick<Cli, 'deps' | 'out'>, question: string): Promise<string> {
  const { stdin, signal } = deps;
  if (stdin.isTTY !== true) return await readAll(stdin);
  out.ask(question);
  // readline's echo is discarded.
  const output = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output, terminal: true, historySize: 0 });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const stop = (): void => reject(new FloeError('INTERRUPTED', 'stopped'));
  lines.once('line', resolve);
  // Ctrl-C, which does not raise a signal in raw mode.
  lines.once('SIGINT', stop);
  // The end of the input, or Ctrl-D.
  lines.once('close', () => resolve(lines.line));
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', stop);
    lines.close();
    out.ask('\n');
  }
}
