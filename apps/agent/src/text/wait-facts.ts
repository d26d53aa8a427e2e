import type { WaitFacts } from '@floe/model';
import { Counter, Timestamp } from '@floe/protocol';
import * as v from 'valibot';

/** `WaitFacts` of libs/model, in the journal on disk and in answers to users. */
export const StoredWaitFacts: v.GenericSchema<unknown, WaitFacts> = v.object({
  what: v.picklist(['download', 'switch', 'restart']),
  codes: v.array(v.string()),
  startsAt: v.nullable(Timestamp),
  latestAt: v.nullable(Timestamp),
  programs: v.array(v.string()),
  laterLeft: v.exactOptional(Counter),
});
