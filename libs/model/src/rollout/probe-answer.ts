/** `unknown`: it gave no answer that says one or the other. */
export const PROBE_VERDICTS = ['good', 'bad', 'unknown'] as const;
export type ProbeVerdict = (typeof PROBE_VERDICTS)[number];

/** What a probe came to. */
export interface ProbeResult {
  readonly verdict: ProbeVerdict;
  /** What was measured, as it was answered; undefined: it only gave a verdict. */
  readonly value: string | undefined;
  /** The largest and the smallest good value. */
  readonly max: number | undefined;
  readonly min: number | undefined;
  /** The end of what it answered, or why there was no answer. Untrusted. */
  readonly detail: string;
}

export interface ProbeAnswer extends ProbeResult {
  readonly name: string;
  /** Of the answers of this probe about this ring. It is the answer's name, too. */
  readonly number: number;
}

/** The last answer of a probe about a ring. */
export interface StoredAnswer extends ProbeAnswer {
  readonly ring: number;
  /** When it was asked, ms: what happened later is not in the answer. */
  readonly askedAt: number;
  /** How often in a row it gave no answer. */
  readonly tries: number;
  /** A person saw it, and resumed: it counts no more. */
  readonly isAcknowledged: boolean;
}
