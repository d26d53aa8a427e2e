import type { Verdict as VerdictWords } from '@floe/views';
import { Icon } from './icon.tsx';

/** The first line of `floe status`: how the whole fleet is. */
export function Verdict({ verdict }: { readonly verdict: VerdictWords }) {
  return (
    <p class={`verdict mark tone-${verdict.isFine ? 'good' : 'bad'}`}>
      <Icon name={verdict.isFine ? 'done' : 'failed'} />
      <strong>{verdict.text}</strong>
    </p>
  );
}
