import * as v from 'valibot';
import { Counter, prose, Timestamp, word } from './bounds.ts';
import { CommitSha, HostName, MachineId, StorePath } from './ids.ts';
import { AgentState, Observed } from './messages.ts';

/** The release that a directive gave the machine, as it accepted it. */
const ReportedRelease = v.strictObject({
  repository: prose(4096),
  ref: prose(1024),
  commit: CommitSha,
  sequence: Counter,
  toplevel: StorePath,
});

/**
 * "This machine runs this, and came to that with its directive." Signed by the host's own key, so that no server can make one. Its `nonce` is of
 * the connection that it went over, and `seq` never falls: the server takes no old one for a newer one.
 */
export const HostReport = v.strictObject({
  version: v.literal(1),
  /** The machine's own name for itself: after a rename the earlier one, for as long as it runs a system of that. */
  host: HostName,
  machineId: MachineId,
  bootId: word(64),
  /** Number of the report that it belongs to: of two the higher one is newer. */
  seq: Counter,
  epoch: Counter,
  state: AgentState,
  /** The system that `state` is about. */
  toplevel: v.nullable(StorePath),
  /** What `toplevel` was released as. Null: there is no directive, or the report waited for so long that the machine has another one. */
  release: v.nullable(ReportedRelease),
  /** The highest sequence that the machine accepted of the release's repository and ref: it runs a lower one by a permit. */
  floor: Counter,
  /** The release is only tried. */
  isTrial: v.boolean(),
  /** A user of the machine chose what runs. */
  isOverridden: v.boolean(),
  observed: Observed,
  code: v.nullable(prose(64)),
  /** By the machine's clock. */
  at: Timestamp,
  nonce: word(64),
});
export type HostReport = v.InferOutput<typeof HostReport>;
