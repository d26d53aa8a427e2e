import { exec, FloeError, isFloeError, stderrLogger, systemClock, type Clock, type Env } from '@floe/runtime';
import { showStatus, type StatusOptions } from './status.ts';
import { MAX_LATER_MINUTES } from '../local/protocol.ts';
import { createAgentClient, type AgentClient } from './client.ts';
import { parseMinutes } from './duration.ts';
import { printable } from '@floe/model';
import { peopleStatus } from './people-status.ts';
import { refusalInWords } from './refusal.ts';
import { changesText } from './changes-text.ts';
import { timeInWords, type Reader } from '../text/people-time.ts';
import { isHeldDownload } from '../text/people.ts';
import { fill } from '../text/words/languages.ts';
import { statusText } from './text.ts';

/** Commands that talk to the running agent. */
export type UserCommand = 'status' | 'later' | 'now' | 'rollback' | 'resume' | 'changes' | 'notify';

export interface UserCommandDeps extends StatusOptions {
  readonly env: Env;
  readonly socketPath: string;
  /** The arguments of the command. */
  readonly words: readonly string[];
  /** --yes: do not ask. */
  readonly isSure: boolean;
  readonly signal: AbortSignal;
  readonly random: () => number;
  readonly clock?: Clock;
  readonly stdout: (text: string) => void;
  /** Asks on the terminal; undefined where there is none. */
  readonly confirm: ((question: string) => Promise<boolean>) | undefined;
}

/** Runs one command; returns the exit status. Throws when the agent refuses it or does not answer. */
export async function runUserCommand(command: UserCommand, deps: UserCommandDeps): Promise<number> {
  const extra = deps.words[MAX_WORDS[command] ?? 0];
  if (extra !== undefined) throw new FloeError('USAGE', `unexpected argument "${extra}" (see floe-agent ${command} --help)`);
  const client = createAgentClient({ socketPath: deps.socketPath, signal: deps.signal });
  try {
    return await COMMANDS[command](client, deps);
  } catch (error) {
    const words = deps.isVerbose ? undefined : refusalInWords(error, deps.language.words);
    if (words === undefined || !isFloeError(error)) throw error;
    throw new FloeError(error.code, words);
  }
}

const MAX_WORDS: Readonly<Partial<Record<UserCommand, number>>> = { later: 1, changes: 2 };

type Run = (client: AgentClient, deps: UserCommandDeps) => Promise<number>;

const COMMANDS: Readonly<Record<UserCommand, Run>> = {
  async status(client, deps) {
    const status = await client.status().catch((error: unknown) => {
      if (isFloeError(error, 'AGENT_NOT_RUNNING')) return undefined;
      throw error;
    });
    if (status === undefined) deps.stdout(await showStatus(deps));
    else print(deps, { isRunning: true, ...status }, deps.isVerbose ? statusText(status, reader(deps)) : peopleStatus(status, reader(deps)));
    return 0;
  },
  async later(client, deps) {
    const [duration] = deps.words;
    const minutes = duration === undefined ? undefined : parseMinutes(duration);
    const answer = await client.later(minutes === undefined ? {} : { minutes: Math.min(minutes, MAX_LATER_MINUTES) });
    const { answer: texts } = deps.language.words;
    const isLess = minutes !== undefined && answer.until < reader(deps).now + (minutes - 1) * 60_000;
    const left = answer.laterLeft === 0 ? texts.leftNone : answer.laterLeft === 1 ? texts.leftOnce : texts.left;
    const from = timeInWords(answer.until, reader(deps), 'from');
    print(deps, answer, `${fill(isLess ? texts.laterLess : texts.later, { from })} ${fill(left, { count: String(answer.laterLeft) })}\n`);
    return 0;
  },
  async now(client, deps) {
    const { words } = deps.language;
    const { wait } = await client.status();
    const answer = await client.now();
    print(deps, answer, `${wait !== null && isHeldDownload(wait) ? words.done.download : words.answer.now}\n`);
    return 0;
  },
  async rollback(client, deps) {
    const { answer: texts } = deps.language.words;
    if (!deps.isSure && deps.confirm !== undefined && !(await deps.confirm(texts.askRollback))) {
      deps.stdout(`${texts.nothingChanged}\n`);
      return 1;
    }
    const answer = await client.rollback();
    print(deps, answer, `${texts.rollback}\n`);
    return 0;
  },
  async resume(client, deps) {
    const answer = await client.resume();
    print(deps, answer, `${deps.language.words.answer.resume}\n`);
    return 0;
  },
  async changes(client, deps) {
    const [before, after] = deps.words.map(generationNumber);
    const { root, env, signal } = deps;
    const changes =
      before === undefined
        ? await client.changes()
        : await (await import('./generations.ts')).compareGenerations({ root, env: { ...env }, before, after, signal });
    print(deps, changes, changesText(changes, { words: deps.language.words, isVerbose: deps.isVerbose }));
    return 0;
  },
  async notify(client, deps) {
    const { runNotify } = await import('./notify.ts');
    const { env, random, signal, language } = deps;
    // An account that may not use the socket is no failure: otherwise systemd would restart this forever.
    await runNotify({ client, exec, env, clock: systemClock, random, logger: stderrLogger('info'), language }, signal);
    return 0;
  },
};

function generationNumber(word: string): number {
  if (/^\d{1,9}$/.test(word)) return Number(word);
  throw new FloeError('USAGE', `"${word}" is not the number of a generation (see floe-agent changes --help)`);
}

function print({ isJson, stdout }: UserCommandDeps, answer: object, text: string): void {
  stdout(isJson ? `${JSON.stringify(answer)}\n` : printable(text));
}

function reader({ clock = systemClock, language }: UserCommandDeps): Reader {
  return { now: clock.now(), language };
}
