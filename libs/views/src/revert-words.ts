import type { RevertView } from '@floe/protocol';
import { hosts, listNames } from './hosts-in-words.ts';
import { shortSha } from './text.ts';

/** How far the hosts of an aborted rollout are on their way back: "3 of 5 hosts are back on 1a2b3c4d5e". */
export function revertWords({ total, back, commit, without, tooOld }: RevertView): string {
  const where = commit === null ? 'their stable systems' : shortSha(commit);
  const one = back === 1 && total === 1;
  const progress = total === 0 ? [] : [`${back} of ${hosts(total)} ${one ? 'is' : 'are'} back on ${where}`];
  const kept =
    without.length === 0 ? [] : [`${listNames(without)} had no stable system before, and ${without.length === 1 ? 'keeps' : 'keep'} this one`];
  const old =
    tooOld.length === 0 ? [] : [`the ${tooOld.length === 1 ? 'agent' : 'agents'} of ${listNames(tooOld)} cannot go back: push a commit that reverts`];
  const parts = [...progress, ...kept, ...old];
  return parts.length === 0 ? 'no host has to go back' : parts.join('; ');
}
