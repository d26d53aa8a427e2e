import type { Sample } from './sample.ts';
import type { Simulation } from './simulation.ts';
import type { RevisionStory } from './story.ts';

const MINUTE = 60_000;

/** A duration for people. */
export function describeMs(ms: number | undefined): string {
  if (ms === undefined) return '–';
  if (ms < 90 * MINUTE) return `${Math.round(ms / MINUTE)} min`;
  const hours = ms / (60 * MINUTE);
  return hours < 48 ? `${hours.toFixed(1)} h` : `${(hours / 24).toFixed(1)} d`;
}

/** How long it took until `percent` of the hosts that were there, and did not fail, ran it; undefined: it was superseded before that. */
export function timeTo({ at, reachable: online, arrived, tried }: RevisionStory, percent: number): number | undefined {
  const reachable = new Set([...online].filter((host) => arrived.has(host) || !tried.has(host)));
  const times = [...arrived].flatMap(([host, time]) => (reachable.has(host) ? [time - at] : [])).toSorted((one, other) => one - other);
  const needed = Math.ceil((reachable.size * percent) / 100);
  return needed === 0 ? undefined : times[needed - 1];
}

function middle(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined).toSorted((one, other) => one - other);
  return known[Math.floor(known.length / 2)];
}

export interface Summary {
  /** Medians over the good revisions that completed. */
  readonly timeTo50: number | undefined;
  readonly timeTo90: number | undefined;
  readonly timeTo99: number | undefined;
  /** The most hosts that began with any one bad revision. */
  readonly mostHit: number;
  readonly bad: number;
  readonly directivesPerHost: number;
  readonly lines: readonly string[];
}

function counted(count: number, what: string, many = `${what}s`): string {
  return `${count} ${count === 1 ? what : many}`;
}

/** How many began with a bad revision, and in which rings they are. */
function describeHit({ sequence, tried }: RevisionStory): string {
  const names = [...new Set([...tried.values()].map(({ name }) => name))];
  return `${tried.size} of no. ${sequence}${names.length === 0 ? '' : ` (all in ${names.join(' and ')})`}`;
}

function describePlaces(sample: Sample | undefined): string {
  if (sample === undefined) return 'nothing happened';
  const { newest, older, away, waiting, changing, failed } = sample;
  return `${newest} on the newest good one, ${older + waiting + changing} on their way to it, ${failed} rolled back, ${away} away on an older one`;
}

export function summarize(simulation: Simulation): Summary {
  const { stories, hosts, samples, options, events, pauses } = simulation;
  const { ticks, kills } = simulation.server;
  const good = stories.filter(({ isBad, end }) => !isBad && end === 'COMPLETE');
  const bad = stories.filter(({ isBad }) => isBad);
  const [timeTo50, timeTo90, timeTo99] = [50, 90, 99].map((percent) => middle(good.map((story) => timeTo(story, percent))));
  const mostHit = Math.max(0, ...bad.map(({ tried }) => tried.size));
  const directivesPerHost = hosts.reduce((sum, { directed }) => sum + directed.size, 0) / hosts.length;
  const reached = [50, 90, 99].map((percent) => {
    const times = good.map((story) => timeTo(story, percent));
    return `${percent} % in ${describeMs(middle(times))} (${times.filter((time) => time !== undefined).length} of ${good.length})`;
  });
  const { approvals, loosenings, retries, resumes, aborts, hotfixes, freezes, stops, pins, quarantines } = simulation.people.counts;
  const { begun, testing, tried, offline } = simulation.trials.counts;
  const { moves, additions, removals, renames, forgotten, enrolledAnew, reinstalled } = simulation.flake.counts;
  const lines = [
    `${counted(options.hosts, 'host')}, ${counted(options.days, 'day')}, seed ${options.seed}: ${counted(stories.length, 'revision')}, ${bad.length} of them bad; ${ticks} ticks, ${events} events`,
    `time to 50/90/99 % of the hosts that were there and did not fail, median of the complete revisions that got so far: ${reached.join(', ')}`,
    `hosts that ever ran a bad revision: ${bad.length === 0 ? 'none, there was no bad one' : bad.map((story) => describeHit(story)).join('; ')}`,
    `at the end: ${counted(hosts.filter(({ runs }) => simulation.isBad(runs)).length, 'host')} on a bad revision, ${describePlaces(samples.at(-1))}`,
    `people: ${counted(approvals, 'approval')}, ${loosenings} of a weaker policy, ${counted(retries, 'retry', 'retries')}, ${counted(resumes, 'resume')}, ${counted(aborts, 'abort')}, ${counted(hotfixes, 'hotfix', 'hotfixes')}; they paused the fleet ${freezes} and a label ${stops} times, kept ${counted(pins, 'host')} from changing, and quarantined a commit on ${counted(quarantines, 'host')}`,
    `trials: ${begun}, ${testing} of them from a testing branch; the machine ran ${tried} of them, and was without a network at the end of ${offline}`,
    `hosts: ${counted(moves, 'commit')} moved one to another ring by its own file, ${additions} added one, ${removals} removed one, ${renames} renamed one; ${forgotten} were forgotten, ${enrolledAnew} enrolled again as they were and ${reinstalled} installed again`,
    `directives per host: ${directivesPerHost.toFixed(1)}; pauses: ${pauses}; the server was killed ${kills === 1 ? 'once' : `${kills} times`}`,
  ];
  return { timeTo50, timeTo90, timeTo99, mostHit, bad: bad.length, directivesPerHost, lines };
}
