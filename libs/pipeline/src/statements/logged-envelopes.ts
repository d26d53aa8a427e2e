import { join } from 'node:path';
import type { Envelope } from '@floe/protocol';
import { listStatements, readStatement } from './statement-files.ts';

/** A file of the log; `envelope` undefined: it is there, and no statement. */
export interface LoggedEnvelope {
  readonly file: string;
  readonly envelope: Envelope | undefined;
}

/** The statements of a part of the log in the folder `dir`, one after another as they are asked for. Moves no file aside. */
export async function* loggedEnvelopes(dir: string, part: 'releases' | 'access' | 'stable'): AsyncGenerator<LoggedEnvelope> {
  const folder = join(dir, part);
  for (const name of await listStatements(folder)) {
    const found = await readStatement(join(folder, name));
    if (found.kind !== 'absent') yield { file: `${part}/${name}`, envelope: found.kind === 'statement' ? found.envelope : undefined };
  }
}
