import { MAX_PROBES, TARGET_NAME_FORM, TARGET_NAME_RULE } from '@floe/model';
import { withoutTrailingSlashes } from '@floe/runtime';
import { Address, Path, readSettingsFile, type SettingsReader } from '@floe/pipeline';
import * as v from 'valibot';
import { PROBE_KINDS, type ProbeAddress } from './probe-address.ts';

/** A probe, as the administrator configured it. A policy names it. */
export interface ConfiguredProbe {
  readonly name: string;
  readonly address: ProbeAddress;
}

const name = v.pipe(v.string(), v.regex(TARGET_NAME_FORM, TARGET_NAME_RULE));
const Bound = v.optional(v.pipe(v.number(), v.finite()));
const Probe = v.variant(
  'kind',
  [
    v.strictObject({ name, kind: v.literal('webhook'), url: Address, secretFile: Path }),
    v.strictObject({
      name,
      kind: v.literal('prometheus'),
      url: Address,
      query: v.pipe(v.string(), v.minLength(1, 'a query of PromQL'), v.maxLength(4_000)),
      max: Bound,
      min: Bound,
      user: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(320), v.regex(/^[^:]*$/, 'a user name without a colon'))),
      passwordFile: v.optional(Path),
    }),
  ],
  `kind: one of ${PROBE_KINDS.join(', ')}`,
);
type Probe = v.InferOutput<typeof Probe>;
const File = v.strictObject({ probes: v.pipe(v.array(Probe), v.maxLength(MAX_PROBES, `at most ${MAX_PROBES}`)) });

type Reader = Pick<SettingsReader, 'problem' | 'secretSource'>;

/** The probes in the file of `setting`. Every problem goes to `read.problem`; a probe with one is left out. */
export function parseProbes(setting: string, text: string, read: Reader): readonly ConfiguredProbe[] {
  const probes = readSettingsFile(setting, text, File, read)?.probes ?? [];
  const names = probes.map((probe) => probe.name);
  for (const each of new Set(names.filter((one, index) => names.indexOf(one) !== index))) read.problem(`${setting}: two probes are named ${each}`);
  return probes.flatMap((probe) => {
    const address = addressOf(setting, probe, read);
    return address === undefined ? [] : [{ name: probe.name, address }];
  });
}

function addressOf(setting: string, probe: Probe, read: Reader): ProbeAddress | undefined {
  if (probe.kind === 'webhook') {
    const secret = read.secretSource(`${setting}: secretFile of ${probe.name}`, probe.secretFile);
    return secret === undefined ? undefined : { kind: 'webhook', url: probe.url, secret };
  }
  const { query, max, min, user, passwordFile } = probe;
  if (max === undefined && min === undefined) {
    read.problem(`${setting}: ${probe.name}: set max or min, or both: they say which values are good`);
    return undefined;
  }
  if ((user === undefined) !== (passwordFile === undefined)) {
    read.problem(`${setting}: ${probe.name}: set user and passwordFile, or neither`);
    return undefined;
  }
  const password = passwordFile === undefined ? undefined : read.secretSource(`${setting}: passwordFile of ${probe.name}`, passwordFile);
  if (user !== undefined && password === undefined) return undefined;
  const login = user === undefined || password === undefined ? undefined : { user, password };
  return { kind: 'prometheus', url: withoutTrailingSlashes(probe.url), query, max, min, login };
}

/** Where it is, as everybody may read it: paths and queries of URLs are secrets at many services. */
export function placeOf({ url }: ProbeAddress): string {
  return new URL(url).origin;
}
