import { MAX_PROBES, MAX_TARGET_NAME_CHARACTERS, PROBE_VERDICTS, TARGET_NAME_FORM, TARGET_NAME_RULE } from '@floe/model';
import * as v from 'valibot';
import { DurationMs, list, prose, word } from './bounds.ts';

/** A probe in the server's settings, as people give its name. */
export const ProbeName = v.pipe(
  v.string(),
  v.maxLength(MAX_TARGET_NAME_CHARACTERS),
  v.regex(TARGET_NAME_FORM, `the name of a probe is ${TARGET_NAME_RULE}`),
);

/** `GET /api/probes`: what rings may be asked about outside. */
export const ProbeConfigView = v.object({
  name: prose(32),
  kind: word(16),
  /** Where it is, without paths and secrets. */
  place: prose(2048),
  /** Of Prometheus. */
  query: v.nullable(prose(4_096)),
  /** Which values are good, in words. */
  good: v.nullable(prose(200)),
});
export type ProbeConfigView = v.InferOutput<typeof ProbeConfigView>;
export const ProbeConfigViews = list(ProbeConfigView, MAX_PROBES);

/** `POST /api/probes/:name/test`: what it answered, in words. */
export const ProbeTested = v.object({ verdict: v.picklist(PROBE_VERDICTS), text: prose(), tookMs: DurationMs });
export type ProbeTested = v.InferOutput<typeof ProbeTested>;
