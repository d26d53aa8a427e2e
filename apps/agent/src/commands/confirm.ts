/** Standard input, and whether it is a terminal. */
export type TerminalInput = NodeJS.ReadableStream & { readonly isTTY?: boolean | undefined };

/** Asks a question. True for y or yes; anything else, the end of the input and Ctrl-C mean no. */
export async function confirm(question: string, stdin: TerminalInput, ask: (text: string) => void, signal: AbortSignal): Promise<boolean> {
  const { createInterface } = await import('node:readline');
  const lines = createInterface({ input: stdin, terminal: false });
  ask(`${question} [y/N] `);
  try {
    const answer = await new Promise<string>((resolve) => {
      lines.once('line', resolve);
      lines.once('close', () => resolve(''));
      signal.addEventListener('abort', () => resolve(''), { once: true });
      if (signal.aborted) resolve('');
    });
    return /^y(es)?$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
