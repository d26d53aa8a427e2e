import { join } from 'node:path';
import { StorePath } from '@floe/protocol';
import { readFileIfPresent, writeFileDurably } from '@floe/runtime';
import * as v from 'valibot';
import type { Account } from './account.ts';
import { observeProfile } from '../links.ts';
import type { TargetRules } from './target-machine.ts';

/** An optional script in the profile, run when it is activated, e.g. to restart services. */
const SCRIPT = 'bin/floe-activate';

/** The last activated path, and the profile's generation at that time (0: none). */
const Note = v.pipe(v.string(), v.parseJson(), v.strictObject({ toplevel: StorePath, generation: v.pipe(v.number(), v.integer()) }));

/** A plain profile: links to programs, perhaps a script. `stateDir` is where the agent notes what it activated. */
export function plainProfileRules(options: { readonly stateDir: string; readonly profile: string; readonly account: Account }): TargetRules {
  const { stateDir, profile, account } = options;
  const noteFile = join(stateDir, 'activated.json');
  return {
    kind: 'profile',
    account,
    folders: [''],
    profile: async () => await Promise.resolve(profile),
    async activated() {
      const text = await readFileIfPresent(noteFile).catch(() => undefined);
      const note = v.safeParse(Note, text);
      if (!note.success) return null;
      // When another program has set the profile since, the profile counts.
      return note.output.generation === ((await observeProfile(profile))?.generation ?? 0) ? note.output.toplevel : null;
    },
    async activation(path, files) {
      return { kind: 'steps', steps: (await files.has(path, SCRIPT)) ? [{ file: SCRIPT, args: [], as: account }] : [] };
    },
    async remember(toplevel) {
      const generation = (await observeProfile(profile))?.generation ?? 0;
      await writeFileDurably(noteFile, JSON.stringify({ toplevel, generation }));
    },
  };
}
