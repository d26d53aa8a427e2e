// Sequences are given by the database, and hosts remember what they accepted. How far one may be above the last one that was signed is one
// decision: whoever gives them stays far below what a builder refuses.

/** A builder signs nothing further above the newest that it signed: more than any fleet has commits without a release among them. */
export const MOST_SEQUENCES_AHEAD = 100_000;

/**
 * All hosts together bring the next sequence so far above the newest release, and no further: more than a fleet has commits between a backup and
 * its loss. It is counted from the release, so that it is the same however often they say it, and commits without a release still have nine
 * tenths of {@link MOST_SEQUENCES_AHEAD}.
 */
const MOST_BY_HOSTS = MOST_SEQUENCES_AHEAD / 10;
/** Where no release is known any more, all that the fleet ever had is lost: that may be more. */
const MOST_BY_HOSTS_AFTER_LOSS = MOST_SEQUENCES_AHEAD / 2;

/**
 * The highest sequence that is believed of hosts that say they accepted it: nothing signs what they say. `newest`: of the newest release that is
 * known; undefined: none is.
 */
export function highestBelieved(newest: number | undefined): number {
  return newest === undefined ? MOST_BY_HOSTS_AFTER_LOSS : newest + MOST_BY_HOSTS;
}

/** `newest`: the newest sequence that was signed; undefined: none was. */
export function isSequenceFarAhead(sequence: number, newest: number | undefined): boolean {
  return newest !== undefined && sequence > newest + MOST_SEQUENCES_AHEAD;
}
