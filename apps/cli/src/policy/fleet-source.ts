import { HOST_NAME_FORM, HOST_NAME_RULE, storableText, type HostName, type RingCandidate } from '@floe/model';
import * as v from 'valibot';

/** All that a check of a policy needs to know of a fleet. */
export interface FleetSource {
  /** The flake output `floe`; undefined: there is none. */
  readonly policy: unknown;
  /** Undefined: the file has only the policy. */
  readonly hosts: readonly RingCandidate[] | undefined;
  /** Names of the flake's checks, of any system; undefined: not known. */
  readonly checks: ReadonlySet<string> | undefined;
  /** What could not be read, for people. */
  readonly notes: readonly string[];
}

const Own = v.object({
  labels: v.optional(v.nullable(v.array(v.string())), []),
  ring: v.optional(v.nullable(v.string()), null),
});

/** What hosts' own configurations say, by name. As entries, because a host may be called `constructor`. */
export const OwnSettings = v.pipe(
  v.custom<object>((value) => typeof value === 'object' && value !== null && !Array.isArray(value), 'is not a set of hosts'),
  v.transform((hosts): readonly (readonly [string, unknown])[] => Object.entries(hosts)),
);
export type OwnSettings = v.InferOutput<typeof OwnSettings>;

/** Hosts for {@link assignRings}. What is wrong with one of them is a note. */
export function candidatesOf(settings: OwnSettings): Pick<FleetSource, 'notes'> & { readonly hosts: readonly RingCandidate[] } {
  const notes: string[] = [];
  const hosts = settings.flatMap(([name, value]): RingCandidate[] => {
    if (!HOST_NAME_FORM.test(name)) {
      notes.push(`"${storableText(name, 80)}" in nixosConfigurations is left out: ${HOST_NAME_RULE}`);
      return [];
    }
    const own = v.safeParse(Own, value);
    if (!own.success) notes.push(`${name}: its labels must be a list of texts, and its ring a text or null, so they do not count`);
    const { labels, ring } = own.success ? own.output : { labels: [], ring: null };
    return [{ host: name as HostName, labels: labels ?? [], ring: ring ?? undefined }];
  });
  return { hosts, notes };
}
