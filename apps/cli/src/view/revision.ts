import type { RevisionView } from '@floe/protocol';
import { stageMs, stagesOf, type StageStatus } from '@floe/views';
import { printableLine } from '@floe/model';
import { minuteTime } from './clock-time.ts';
import { type Tone, type View } from './terminal.ts';
import { ago, buildLines, duration, hotfixCommand, olderWords, revisionWords, shortSha, words } from '@floe/views';

const STAGE_TONES: Record<StageStatus, Tone> = {
  done: 'good',
  partly: 'bad',
  running: 'busy',
  held: 'bad',
  failed: 'bad',
  waiting: 'quiet',
  skipped: 'quiet',
};
const STAGE_MARKS: Record<StageStatus, string> = { done: '✓', partly: '~', running: '…', held: '!', failed: '✗', waiting: '·', skipped: '–' };

/** A revision with its stages and how long each took. */
export function formatRevision(revision: RevisionView, { now, style }: Pick<View, 'now' | 'style'>): string {
  const subject = printableLine(revision.subject);
  const title = `${style('strong', `${shortSha(revision.sha)}  ${subject}`)}  ${style('quiet', `#${revision.sequence} by ${printableLine(revision.author)}, ${revisionWords(revision)}`)}`;
  const lines = stagesOf(revision).map((stage) => {
    const took = stageMs(stage, now);
    const isOpenRollout = stage.name === 'rollout' && revision.rollout !== null;
    const told = [
      stage.name === 'received' ? ago(revision.receivedAt, now) : took === null ? (isOpenRollout ? '' : words(stage.status)) : duration(took),
      stage.share !== null && stage.name !== 'rollout' ? stage.share : '',
      revision.rollout !== null && isOpenRollout ? printableLine(revision.rollout.description) : '',
    ].filter((text) => text !== '' && text !== 'done');
    return `  ${style(STAGE_TONES[stage.status], `${STAGE_MARKS[stage.status]} ${stage.name.padEnd(9)}`)}  ${told.join('  ')}`.trimEnd();
  });
  const waits = revision.waits === null ? [] : [`  ${olderWords(revision.waits, minuteTime)}, or: ${hotfixCommand(shortSha(revision.sha))}`];
  const builds = buildLines(revision, now).map((line) => `    ${style('quiet', printableLine(line))}`);
  return [title, ...waits, ...lines, ...builds].join('\n');
}
