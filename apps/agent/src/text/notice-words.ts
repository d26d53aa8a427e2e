import type { NoticeAbout, NoticeAction } from './notice-about.ts';
import type { Reader } from './people-time.ts';
import { isHeldDownload, sentences, situationInWords } from './people.ts';
import type { Words } from './words/en.ts';
import { fill } from './words/languages.ts';

/** A notice for one reader. */
export function noticeInWords(about: NoticeAbout, reader: Reader): { readonly title: string; readonly body: string } {
  const { words } = reader.language;
  return { title: words.title[about.topic], body: bodyOf(about, reader) };
}

function bodyOf({ topic, state, code, wait, trialEndsAt, asker }: NoticeAbout, reader: Reader): string {
  const { notice } = reader.language.words;
  const detail = code === null ? null : { code, ...(wait === null ? {} : { wait }) };
  const situation = (): string => situationInWords({ state, detail, trialEndsAt }, reader);
  switch (topic) {
    case 'asked':
      return sentences(state === 'DEFERRED' ? situation() : notice.begins, asker === null ? undefined : fill(notice.asker, asker));
    case 'updated':
      return notice.canGoBack;
    case 'went-back':
      return code === 'TRIAL_OVER' ? notice.trialIsOver : notice.isBack;
    default:
      return situation();
  }
}

/** What is asked before an action is done. */
export function questionFor(action: NoticeAction, about: NoticeAbout | null, { question }: Words): { readonly title: string; readonly body: string } {
  if (action === 'rollback') return { title: question.rollback, body: question.rollbackBody };
  if (about?.wait != null && isHeldDownload(about.wait)) return { title: question.download, body: question.downloadBody };
  return { title: question.now, body: question.nowBody };
}

/** What is said after an action; undefined: the next notice says it. */
export function doneInWords(action: NoticeAction, about: NoticeAbout | null, { done }: Words): string | undefined {
  if (action !== 'now') return undefined;
  return about?.wait != null && isHeldDownload(about.wait) ? done.download : done.now;
}

/** What the button of an action says. */
export function buttonFor(action: NoticeAction, about: NoticeAbout | null, { button }: Words): string {
  return action === 'now' && about?.wait != null && isHeldDownload(about.wait) ? button.download : button[action];
}
