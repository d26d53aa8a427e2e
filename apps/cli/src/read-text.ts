import { readFile } from 'node:fs/promises';
import { describeError, FloeError } from '@floe/runtime';
import type { TextSource } from './cli.ts';

/** The text of a file; `-` is the standard input, of which no more than `maxCharacters` are read. */
export async function readText(file: string, stdin: TextSource, maxCharacters: number): Promise<string> {
  if (file === '-') {
    let text = '';
    for await (const chunk of stdin) {
      text += String(chunk);
      if (text.length > maxCharacters)
        throw new FloeError(
          'USAGE',
          `the standard input is longer than ${maxCharacters} characters, the most that is read here: give less, or the right file`,
        );
    }
    return text;
  }
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new FloeError('USAGE', `${file} cannot be read: ${describeError(cause)}`, { cause });
  }
}
