import { HostName } from '@floe/protocol';
import { readFileIfPresent } from '@floe/runtime';
import * as v from 'valibot';
import type { StatePaths } from '../state/state-folder.ts';

/**
 * The record of an enrolment. It has the SHA-256 of the token, to recognise a used one. Fields are only added: after a rollback an older agent
 * reads it.
 */
const EnrolmentRecord = v.object({
  host: HostName,
  serverUrl: v.string(),
  tokenHash: v.string(),
  enrolledAt: v.number(),
  /** The file of the key that was enrolled; missing: the state folder's own. A system without the setting finds the key by it. */
  keyFile: v.exactOptional(v.string()),
});
export type EnrolmentRecord = v.InferOutput<typeof EnrolmentRecord>;

const StoredRecord = v.pipe(v.string(), v.parseJson(), EnrolmentRecord);

export async function readRecord(paths: Pick<StatePaths, 'enrolment'>): Promise<EnrolmentRecord | undefined> {
  const parsed = v.safeParse(StoredRecord, (await readFileIfPresent(paths.enrolment)) ?? '');
  return parsed.success ? parsed.output : undefined;
}
