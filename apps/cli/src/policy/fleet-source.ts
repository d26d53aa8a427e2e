import { HOST_NAME_FORM, HOST_NAME_RULE, storableText, type HostName, type RingCandidate } from '@floe/model';
import { readOwnSettings } from '@floe/nix';
import * as v from 'valibot';

/** All that a check of a policy needs to know of a fleet. */
export interface FleetSource {
  /** The flake output `floe`; undefined: there is none. */
  readonly policy: unknown;
  /** Names of the flake's outputs, where they are known. */
  readonly outputs?: readonly string[];
  /** Undefined: the file has only the policy. */
  readonly hosts: readonly RingCandidate[] | undefined;
  /** Names of the flake's checks, each with the platforms of possible servers that lack it; undefined: not known. */
  readonly checks: ReadonlyMap<string, readonly string[]> | undefined;
  /** Mistakes in the configurations of hosts, which the server refuses. */
  readonly problems: readonly string[];
  /** What could not be read, for people. */
  readonly notes: readonly string[];
}

const Own = v.object({
  labels: v.optional(v.unknown()),
  ring: v.optional(v.unknown()),
  formerHost: v.optional(v.unknown()),
  timeZone: v.optional(v.unknown()),
});

/** What hosts' own configurations say, by name. As entries, because a host may be called `constructor`. */
export const OwnEntries = v.pipe(
  v.custom<object>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), 'is not a set of hosts'),
  v.transform((hosts): [string, unknown][] => Object.entries(hosts)),
  v.array(v.tuple([v.string(), Own])),
);
export type OwnEntries = v.InferOutput<typeof OwnEntries>;

/** Hosts for {@link assignRings}. */
export function candidatesOf(entries: OwnEntries): Pick<FleetSource, 'problems' | 'notes'> & { readonly hosts: readonly RingCandidate[] } {
  const problems: string[] = [];
  const notes: string[] = [];
  const hosts = entries.flatMap(([name, { labels, ring, formerHost, timeZone }]): RingCandidate[] => {
    if (!HOST_NAME_FORM.test(name)) {
      notes.push(`"${storableText(name, 80)}" in nixosConfigurations is left out: ${HOST_NAME_RULE}`);
      return [];
    }
    const host = name as HostName;
    const own = readOwnSettings({ labels: labels ?? [], ring: ring ?? null, formerHost: formerHost ?? null, timeZone: timeZone ?? null });
    if (own.kind === 'own') return [{ host, labels: own.labels, ring: own.ring, formerHost: own.formerHost, timeZone: own.timeZone }];
    problems.push(`${name}: ${own.error}`);
    return [{ host, labels: [] }];
  });
  return { hosts, problems, notes };
}
