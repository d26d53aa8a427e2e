import {
  HOST_NAME_FORM,
  LABEL_FORM,
  LABEL_RULE,
  MAX_LABELS,
  MAX_TIME_ZONE_CHARACTERS,
  oneLine,
  RING_NAME_FORM,
  RING_NAME_RULE,
  storableText,
  type HostName,
} from '@floe/model';
import * as v from 'valibot';

/**
 * A Nix function from a host's `config` to the labels and the ring that it gives itself, its former name and its time zone. Only texts are passed on: JSON has no functions,
 * and a path would be copied to the store.
 */
export const OWN_SETTINGS = `(config:
    let
      agent = config.services.floe.agent or { };
      text = value: if builtins.isString value then value else { type = builtins.typeOf value; };
      labels = agent.labels or [ ];
      ring = agent.ring or null;
      formerHost = agent.formerHost or null;
      timeZone = config.time.timeZone or null;
    in
    {
      labels = if builtins.isList labels then map text labels else text labels;
      ring = if ring == null then null else text ring;
      formerHost = if formerHost == null then null else text formerHost;
      timeZone = if timeZone == null then null else text timeZone;
    })`;

/** What {@link OWN_SETTINGS} yielded. A mistake is this host's error. */
export type OwnSettings =
  | {
      readonly kind: 'own';
      readonly labels: readonly string[];
      readonly ring: string | undefined;
      readonly formerHost: HostName | undefined;
      readonly timeZone: string | undefined;
    }
  | { readonly kind: 'bad'; readonly error: string };

const MAX_SHOWN_CHARACTERS = 80;
/** What the function puts in the place of a value that is no text. */
const OtherValue = v.object({ type: v.picklist(['lambda', 'set', 'list', 'int', 'float', 'bool', 'null', 'path']) });

/** Reads it. One that cannot be used is this host's error: nothing else is known to be wrong. */
export function readOwnSettings({
  labels,
  ring,
  formerHost,
  timeZone,
}: {
  readonly labels: unknown;
  readonly ring: unknown;
  readonly formerHost: unknown;
  readonly timeZone: unknown;
}): OwnSettings {
  const problem = labelsProblem(labels) ?? ringProblem(ring) ?? formerHostProblem(formerHost);
  if (problem !== undefined) return { kind: 'bad', error: `services.floe.agent.${problem}` };
  return {
    kind: 'own',
    labels: [...new Set(labels as string[])],
    ring: (ring as string | null) ?? undefined,
    formerHost: (formerHost as HostName | null) ?? undefined,
    timeZone: zoneOf(timeZone),
  };
}

/** Not checked here: only a fleet with windows that go by it needs a time zone that exists. */
function zoneOf(timeZone: unknown): string | undefined {
  if (timeZone === null || timeZone === undefined) return undefined;
  return typeof timeZone === 'string' ? storableText(oneLine(timeZone), MAX_TIME_ZONE_CHARACTERS) : shown(timeZone);
}

function labelsProblem(labels: unknown): string | undefined {
  if (!Array.isArray(labels)) return `labels: is not a list of texts, as in [ "laptop" "site=berlin" ]`;
  if (labels.length > MAX_LABELS) return `labels: has ${labels.length} entries: ${MAX_LABELS} are the most`;
  const bad = labels.findIndex((label) => typeof label !== 'string' || !LABEL_FORM.test(label));
  return bad < 0 ? undefined : `labels[${bad}]: ${shown(labels[bad])} is not possible: ${LABEL_RULE}`;
}

function ringProblem(ring: unknown): string | undefined {
  if (ring === null || (typeof ring === 'string' && RING_NAME_FORM.test(ring))) return undefined;
  return `ring: ${shown(ring)} is not possible: ${RING_NAME_RULE}`;
}

function formerHostProblem(formerHost: unknown): string | undefined {
  if (formerHost === null || (typeof formerHost === 'string' && HOST_NAME_FORM.test(formerHost))) return undefined;
  return `formerHost: ${shown(formerHost)} is not possible: it is the name that this machine had in nixosConfigurations before`;
}

function shown(value: unknown): string {
  if (typeof value === 'string') return `"${storableText(oneLine(value), MAX_SHOWN_CHARACTERS)}"`;
  return v.is(OtherValue, value) ? `a value of the type ${value.type}` : 'this value';
}
