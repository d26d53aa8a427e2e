import { createHash } from 'node:crypto';
import { EnrolResponse, HostName, type EnrolRequest } from '@floe/protocol';
import { describeError, FloeError, fullJitter, readFileIfPresent, writeFileDurably, type Clock, type Logger } from '@floe/runtime';
import * as v from 'valibot';
import type { Identity } from './identity.ts';
import type { Answer } from './post-json.ts';
import type { StatePaths } from '../state/state-folder.ts';

const ErrorAnswer = v.pipe(v.string(), v.parseJson(), v.object({ error: v.object({ code: v.string(), message: v.string() }) }));
const SuccessAnswer = v.pipe(v.string(), v.parseJson(), EnrolResponse);

const RETRY = { baseMs: 1_000, capMs: 60_000 } as const;

/** What is remembered of an enrolment; of the token only its SHA-256, to know it again. */
const EnrolmentRecord = v.strictObject({ host: HostName, serverUrl: v.string(), tokenHash: v.string(), enrolledAt: v.number() });
const StoredRecord = v.pipe(v.string(), v.parseJson(), EnrolmentRecord);

/** What came of one try. */
type EnrolOutcome =
  | { readonly kind: 'enrolled' }
  /** The server took this token before: perhaps from this very agent, which died before it could note so. */
  | { readonly kind: 'token-used' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unreachable'; readonly why: string };

export interface EnrolmentDeps {
  readonly identity: Identity;
  readonly serverUrl: string;
  readonly tokenFile: string | undefined;
  readonly paths: StatePaths;
  readonly post: (url: string, body: EnrolRequest, signal: AbortSignal) => Promise<Answer>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
}

/** True when this state has a valid record of an enrolment of this host at this server. */
async function isRecorded(deps: EnrolmentDeps): Promise<boolean> {
  const record = await readRecord(deps.paths);
  return record !== undefined && record.host === deps.identity.host && record.serverUrl === deps.serverUrl;
}

async function readRecord(paths: StatePaths): Promise<v.InferOutput<typeof EnrolmentRecord> | undefined> {
  const parsed = v.safeParse(StoredRecord, (await readFileIfPresent(paths.enrolment)) ?? '');
  return parsed.success ? parsed.output : undefined;
}

/**
 * Enrols this machine unless it is, for as long as the server is away. A refusal ends it too: the key that is here may
 * be enrolled although the record of it is lost, and {@link enrolAnew} is there when it is not.
 */
export async function ensureEnrolled(deps: EnrolmentDeps, signal: AbortSignal): Promise<void> {
  const { clock, logger, random } = deps;
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    if (await isRecorded(deps)) return;
    const token = await readToken(deps.tokenFile);
    if (token === undefined) {
      logger.warn('there is no record of an enrolment and no token to enrol with; connecting with the key that is here', {
        tokenFile: deps.tokenFile,
      });
      return;
    }
    const outcome = await enrol(deps, token, signal);
    if (outcome.kind !== 'unreachable') return;
    logger.warn('the server cannot be reached to enrol; trying again', { why: outcome.why });
    await clock.sleep(fullJitter(attempt, RETRY, random), signal);
  }
}

/** After the server shut this agent out: true when the token file holds a token that was not used here, and it worked. */
export async function enrolAnew(deps: EnrolmentDeps, signal: AbortSignal): Promise<boolean> {
  const token = await readToken(deps.tokenFile);
  if (token === undefined || (await readRecord(deps.paths))?.tokenHash === hashOf(token)) return false;
  return (await enrol(deps, token, signal)).kind === 'enrolled';
}

/** Says why an agent could never get in, before it tries: `FloeError('NOT_ENROLLED')`. */
export async function assertCanEnrol(deps: {
  readonly paths: StatePaths;
  readonly tokenFile: string | undefined;
  readonly host: HostName;
}): Promise<void> {
  const hasState = (await readFileIfPresent(deps.paths.key)) !== undefined || (await readRecord(deps.paths)) !== undefined;
  if (hasState || (await readToken(deps.tokenFile)) !== undefined) return;
  const where = deps.tokenFile === undefined ? 'put it into a file that FLOE_ENROLMENT_TOKEN_FILE names' : `put it into ${deps.tokenFile}`;
  throw new FloeError('NOT_ENROLLED', `this machine is not enrolled: run "floe enrol ${deps.host}" to get a one-time token, and ${where}`);
}

async function readToken(path: string | undefined): Promise<string | undefined> {
  const text = path === undefined ? undefined : (await readFileIfPresent(path))?.trim();
  return text === '' ? undefined : text;
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}

async function enrol(deps: EnrolmentDeps, token: string, signal: AbortSignal): Promise<EnrolOutcome> {
  const { identity, serverUrl, logger } = deps;
  const { host, machineId, system, signer } = identity;
  let answer: Answer;
  try {
    answer = await deps.post(`${serverUrl}/api/enrol`, { token, host, machineId, publicKey: signer.publicKey, system }, signal);
  } catch (error) {
    return { kind: 'unreachable', why: describeError(error) };
  }
  if (answer.status === 201 && v.is(SuccessAnswer, answer.body)) {
    await writeRecord(deps, token);
    logger.info('enrolled', { serverUrl, machineId });
    return { kind: 'enrolled' };
  }
  const parsed = v.safeParse(ErrorAnswer, answer.body);
  if (!parsed.success) return { kind: 'unreachable', why: `${serverUrl} answered with status ${answer.status}, but not as a Floe server` };
  const { code, message } = parsed.output.error;
  if (answer.status >= 500) return { kind: 'unreachable', why: message };
  if (code !== 'ENROLMENT_TOKEN_USED') {
    logger.error('the server refuses to enrol this machine', { code, reason: message });
    return { kind: 'refused' };
  }
  logger.info('the enrolment token was used before; connecting with the key that is here');
  return { kind: 'token-used' };
}

async function writeRecord(deps: EnrolmentDeps, token: string): Promise<void> {
  const { identity, serverUrl, paths, clock } = deps;
  const record: v.InferOutput<typeof EnrolmentRecord> = { host: identity.host, serverUrl, tokenHash: hashOf(token), enrolledAt: clock.now() };
  await writeFileDurably(paths.enrolment, JSON.stringify(record));
}
