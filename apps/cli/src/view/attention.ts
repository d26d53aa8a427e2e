import { ago, nameMany, NEEDS_YOU, sameAttention, type Attention } from '@floe/views';
import { formatBlock, type View } from './terminal.ts';

/** Long errors are cut here; `floe hosts NAME` and `floe revisions SHA` have all of them. */
const MESSAGE_LINES = 6;

/** What needs a person, each with its code and what to do. */
export function formatAttention(attention: readonly Attention[], { now, style }: View): string {
  const blocks = sameAttention(attention).map(({ subjects, message, code, todo, since }) => {
    const lines = message.trim().split('\n');
    const cut = lines.length > MESSAGE_LINES ? [...lines.slice(0, MESSAGE_LINES), '…'] : lines;
    const head = `${style('bad', nameMany(subjects))}${code === undefined ? '' : `  ${code}`}${since === null ? '' : style('quiet', `  ${ago(since, now)}`)}`;
    return [`  ${head}`, formatBlock(cut.join('\n'), '    '), ...(todo === null ? [] : [formatBlock(`→ ${todo}`, '    ')])].join('\n');
  });
  return [style('strong', NEEDS_YOU), ...blocks].join('\n');
}
