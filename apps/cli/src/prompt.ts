import { FloeError } from '@floe/runtime';
import type { Cli, CliDeps } from './cli.ts';

/** Asks on the terminal without showing what is typed; where stdin is no terminal, reads it to its end. */
export async function readHidden({ deps, out }: Pick<Cli, 'deps' | 'out'>, question: string): Promise<string> {
  const { stdin } = deps;
  if (stdin.isTTY !== true) {
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of stdin) text += typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    return text;
  }
  out.ask(question);
  stdin.setRawMode?.(true);
  try {
    return await readLine(stdin);
  } finally {
    stdin.setRawMode?.(false);
    out.ask('\n');
  }
}

/** In raw mode the terminal neither edits the line nor turns Ctrl-C into a signal: both are done here. */
async function readLine(stdin: CliDeps['stdin']): Promise<string> {
  let line = '';
  const decoder = new TextDecoder();
  for await (const chunk of stdin) {
    for (const char of typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true })) {
      if (char === '\r' || char === '\n' || char === '\u0004') return line;
      if (char === '\u0003') throw new FloeError('INTERRUPTED', 'stopped');
      if (char === '\u007f' || char === '\b') line = line.slice(0, -1);
      else line += char;
    }
  }
  return line;
}
