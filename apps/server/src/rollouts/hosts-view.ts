import { countedAs, hostsOfRings, storableText, type CountedAs, type RolloutFacts } from '@floe/model';
import type { HostView, RolloutHostsView } from '@floe/protocol';
import type { CurrentRollout } from '@floe/store';
import { reasonOf, standingWords, stepWords } from '@floe/views';

/**
 * Who is how far in each ring, in the order of the rings: those who are counted there, and those whom the rollout does not ask though they do not
 * run what they should. Pure.
 */
export function viewRolloutHosts(
  { course }: Pick<CurrentRollout, 'course'>,
  facts: Pick<RolloutFacts, 'policy' | 'hosts' | 'coming'>,
  views: ReadonlyMap<string, HostView>,
): RolloutHostsView['hosts'] {
  return hostsOfRings(course, facts).flatMap(({ name, hosts }, index) => {
    const ring = storableText(name);
    const built = hosts.flatMap((each) => {
      const view = views.get(each.host);
      if (view === undefined || (!each.isEligible && view.standing === 'in-sync')) return [];
      const counted = each.isEligible ? countedAs(each) : null;
      return [{ host: each.host, ring, countedAs: counted, text: storableText(textOf(view, counted)) }];
    });
    const coming = facts.coming?.filter((each) => each.ring === index) ?? [];
    return [...built, ...coming.map(({ host }) => ({ host, ring, countedAs: 'building' as const, text: '' }))];
  });
}

function textOf(view: HostView, counted: CountedAs | null): string {
  switch (counted) {
    case 'verified':
      return '';
    case 'inFlight':
    case 'toCome':
      return view.standing === 'under-way' ? stepWords(view) : (reasonOf(view) ?? '');
    case 'failed':
    case 'acknowledged':
      return reasonOf(view) ?? view.detail?.message ?? '';
    case 'waiting':
    case 'away':
    case null:
      return reasonOf(view) ?? standingWords(view);
  }
}
