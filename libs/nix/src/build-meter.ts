import { stripVTControlCharacters } from 'node:util';
import { storableText } from '@floe/model';
import { cleanText } from './failure.ts';
import { ACTIVITY, RESULT, type LogEvent } from './internal-json.ts';

/** What a build does now. Both are the repository's words, without control characters, and bounded. */
export interface BuildProgress {
  /** The name of the derivation that said something last, or was begun last. */
  readonly derivation: string | undefined;
  /** The last line of its log. */
  readonly line: string | undefined;
}

const MAX_CHARACTERS = 200;
/** Derivations that run at the same time, of which the names are kept. */
const MAX_RUNNING = 1_000;

/** Reads from Nix's log what is built. Reports each line: whoever shows it chooses how often. */
export function createBuildMeter(onProgress: ((progress: BuildProgress) => void) | undefined): (event: LogEvent) => void {
  if (onProgress === undefined) return () => undefined;
  const running = new Map<number, BuildProgress>();
  return (event) => {
    if (event.action === 'start' && event.type === ACTIVITY.build && running.size < MAX_RUNNING) {
      const begun = { derivation: shown(nameOf(String(event.fields[0] ?? ''))), line: undefined };
      running.set(event.id, begun);
      onProgress(begun);
    } else if (event.action === 'stop' && running.delete(event.id)) {
      const [last] = [...running.values()].slice(-1);
      if (last !== undefined) onProgress(last);
    } else if (event.action === 'result' && event.type === RESULT.buildLogLine) {
      const known = running.get(event.id);
      const line = shown(lastPart(String(event.fields[0] ?? '')));
      if (known === undefined || line === undefined) return;
      const now = { ...known, line };
      // The one that spoke last is the last.
      running.delete(event.id);
      running.set(event.id, now);
      onProgress(now);
    }
  };
}

/** What a terminal would show of a line that a program wrote over. */
function lastPart(line: string): string {
  return (
    line
      .slice(-10 * MAX_CHARACTERS)
      .split('\r')
      .findLast((part) => part.trim() !== '') ?? ''
  );
}

/** `/nix/store/<32>-linux-6.6.drv` → `linux-6.6` */
function nameOf(drvPath: string): string {
  return drvPath.replace(/^.*\/[0-9a-z]{32}-/, '').replace(/\.drv$/, '');
}

function shown(text: string): string | undefined {
  const clean = storableText(cleanText(stripVTControlCharacters(text)).replaceAll(/\s+/g, ' '), MAX_CHARACTERS);
  return clean === '' ? undefined : clean;
}
