import type { RolloutCourse, RolloutPause, StatusText, UntriedGroup } from '@floe/model';
import type { RevertView } from '@floe/protocol';
import { hosts, listNames } from './hosts-in-words.ts';
import { probeAnswerWords } from './probe-words.ts';
import { revertWords } from './revert-words.ts';
import { count } from './text.ts';

/** The rings of a policy, or of a rollout's record. */
interface NamedRings {
  readonly rings: readonly { readonly name: string }[];
}

/** A ring by its name; where there is only one, it needs none. */
export function ringName({ rings }: NamedRings, ring: number): string {
  return rings[ring]?.name ?? `number ${ring + 1}`;
}

/** "none of the 2 hosts with the same change (pi-1, pi-2) has run it"; of one host: "pi-1 has not run a change that others are to get" */
export function untriedWords(groups: readonly UntriedGroup[]): string {
  const [first] = groups;
  if (first === undefined) return '';
  const more = groups.length === 1 ? '' : `, and of ${count(groups.length - 1, 'more group')} neither`;
  if (first.count === 1) return `${listNames(first.hosts, 1)} has not run a change that others are to get${more}`;
  return `none of the ${hosts(first.count)} with the same change (${listNames(first.hosts, first.count)}) has run it${more}`;
}

/** Why a rollout is paused: "2 hosts failed: ada, bob (the check web did not pass)". */
export function describePause(pause: RolloutPause): string {
  switch (pause.cause) {
    case 'failures': {
      const [first] = pause.failures;
      const names = listNames(pause.failures.map(({ host }) => host));
      const why = first === undefined || first.reason === '' ? '' : ` (${first.reason})`;
      return `${hosts(pause.count)} failed: ${names}${why}`;
    }
    case 'deadline': {
      const { missing, present, eligible, untried } = pause;
      if (missing === 0 && untried.length > 0) return `its deadline has passed, and ${untriedWords(untried)}`;
      if (present === 0 && missing > 0) return `none of its ${hosts(eligible)} was there until its deadline`;
      return missing > 0
        ? `its deadline has passed, and ${hosts(missing)} more must be seen to run it`
        : 'its deadline has passed before enough of its hosts were seen to run it';
    }
    case 'probe':
      return pause.answers.map(probeAnswerWords).join('; ');
    case 'after-ring':
      return 'the policy wants a person to look after this ring';
    case 'freeze':
      return `${pause.by} paused all rollouts: ${pause.reason}`;
  }
}

/**
 * What the commit says of a rollout that does not go on by itself, or that goes ring by ring; `now`: where its hosts stand; `revert`: how
 * far those of an aborted one are back; `isBuilt`: nothing but the builds of its ring's hosts is waited for. Undefined: where they stand says it all.
 */
export function describeCourse(
  course: RolloutCourse,
  policy: NamedRings,
  now: StatusText,
  { revert, isBuilt = false }: { readonly revert?: RevertView | null; readonly isBuilt?: boolean } = {},
): StatusText | undefined {
  const ring = ringName(policy, course.ring);
  const isOne = policy.rings.length === 1;
  switch (course.state) {
    case 'PAUSED': {
      const why = course.pause === undefined ? 'no reason is known' : describePause(course.pause);
      return { state: course.pause?.cause === 'failures' ? 'failure' : 'pending', description: `paused${isOne ? '' : ` at ring ${ring}`}: ${why}` };
    }
    case 'ABORTED':
      return { state: 'failure', description: `aborted: ${revert == null ? now.description : revertWords(revert)}` };
    case 'WAITING_APPROVAL':
      if (isBuilt)
        return isOne
          ? undefined
          : { ...now, state: now.state === 'success' ? 'pending' : now.state, description: `ring ${ring}: ${now.description}` };
      return { state: 'pending', description: `${isOne ? '' : `ring ${ring} `}waits for approval: ${now.description}` };
    case 'READY':
      return { state: 'pending', description: `${isOne ? '' : `ring ${ring} `}waits for its window: ${now.description}` };
    case 'ROLLING':
      return isOne ? undefined : { ...now, state: now.state === 'success' ? 'pending' : now.state, description: `ring ${ring}: ${now.description}` };
    case 'SOAKING':
      return isOne
        ? undefined
        : { ...now, state: now.state === 'success' ? 'pending' : now.state, description: `ring ${ring} soaks: ${now.description}` };
    case 'NEXT':
    case 'COMPLETE':
      return undefined;
    case 'SUPERSEDED':
      // Its pause is kept: that it was paused is its result.
      return course.pause === undefined ? undefined : describeCourse({ ...course, state: 'PAUSED' }, policy, now);
  }
}
