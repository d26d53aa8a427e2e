/** A stream that is read from, and whether a person is at its end. */
export type TerminalInput = NodeJS.ReadableStream & { readonly isTTY?: boolean | undefined };

/** Asks a question that is answered with y or yes. Anything else, the end of the input and Ctrl-C are a no. */
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
