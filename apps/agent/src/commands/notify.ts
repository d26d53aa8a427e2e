import { describeError, fullJitter, isFloeError, type Clock, type Exec, type Logger } from '@floe/runtime';
import type { AgentClient } from './client.ts';
import { refusalInWords } from './refusal.ts';
import { doneInWords, noticeInWords } from '../text/notice-words.ts';
import type { Language } from '../text/words/languages.ts';
import { Desktop } from './desktop.ts';
import type { NoticeAction } from '../text/notice-about.ts';
import type { Notice } from '../local/protocol.ts';

/** Between tries to connect: a restarted agent is back within seconds. */
const BACKOFF = { baseMs: 1_000, capMs: 30_000 };
const MIN_WAIT_MS = 250;

export interface NotifyDeps {
  readonly client: AgentClient;
  readonly exec: Exec;
  /** The environment of the user's session. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  /** Of the user's session. */
  readonly language: Language;
}

/** Why {@link runNotify} ended. */
export type NotifyEnd = 'stopped' | 'not-allowed';

/**
 * Shows the agent's notices on a user's desktop and sends the chosen actions to the agent, until `signal` aborts. Goes on when the
 * agent restarts. Ends with 'not-allowed' when this account may not use the socket.
 */
export async function runNotify(deps: NotifyDeps, signal: AbortSignal): Promise<NotifyEnd> {
  const { client, clock, random, logger, exec, env, language } = deps;
  let canShow = true;
  let connection = new AbortController();
  await using desktop = new Desktop({
    exec,
    env,
    clock,
    logger,
    words: language.words,
    async chosen(action, notice) {
      const said = await pass(deps, action, notice);
      if (said !== undefined) await desktop.tell(notice.title, said);
    },
    ableChanged(now) {
      canShow = now;
      // The agent counts the desktops that can show notices: connect again with the new value.
      connection.abort();
    },
  });
  void desktop.watch(signal);
  let isConnected: boolean | undefined;
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    connection = new AbortController();
    let failure: unknown;
    try {
      for await (const notice of client.follow(canShow, AbortSignal.any([signal, connection.signal]))) {
        if (isConnected !== true) logger.info('connected to floe-agent');
        isConnected = true;
        attempt = 0;
        desktop.show(notice?.about == null ? notice : { ...notice, ...noticeInWords(notice.about, { now: clock.now(), language }) });
      }
    } catch (error) {
      if (!isFloeError(error)) throw error;
      if (error.code === 'NOT_ALLOWED') {
        logger.info('this account may not receive notices', { error });
        return 'not-allowed';
      }
      failure = error;
    }
    if (connection.signal.aborted) continue;
    if (isConnected !== false && !signal.aborted) logger.warn('floe-agent cannot be reached; trying again', { error: failure ?? null });
    isConnected = false;
    await clock.sleep(MIN_WAIT_MS + fullJitter(attempt, BACKOFF, random), signal);
  }
  return 'stopped';
}

/** Sends the chosen action; what to say about it, if the next notice does not. */
async function pass({ client, logger, language: { words } }: NotifyDeps, action: NoticeAction, notice: Notice): Promise<string | undefined> {
  try {
    if (action === 'later') await client.later({});
    else await client[action]();
    logger.info('an action was chosen on the desktop', { action, notice: notice.id });
    return doneInWords(action, notice.about, words);
  } catch (error) {
    logger.warn('the agent did not take the action chosen on the desktop', { action, notice: notice.id, why: describeError(error) });
    return refusalInWords(error, words) ?? words.done.refused;
  }
}
