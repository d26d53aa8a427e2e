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

/** The record of an enrolment. It has the SHA-256 of the token, to recognise a used one. */
const EnrolmentRecord = v.strictObject({ host: HostName, serverUrl: v.string(), tokenHash: v.string(), enrolledAt: v.number() });
const StoredRecord = v.pipe(v.string(), v.parseJson(), EnrolmentRecord);

/** The result of one try. */
type EnrolOutcome =
  | { readonly kind: 'enrolled' }
  /** The token was used before: perhaps by this agent, which stopped before it wrote the record. */
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

/** True when this state has a valid record of an enrolment of this host at this server, also under the name that it had before. */
async function isRecorded(deps: EnrolmentDeps): Promise<boolean> {
  const record = await readRecord(deps.paths);
  const { host, formerHost } = deps.identity;
  return record !== undefined && (record.host === host || record.host === formerHost) && record.serverUrl === deps.serverUrl;
}

async function readRecord(paths: StatePaths): Promise<v.InferOutput<typeof EnrolmentRecord> | undefined> {
  const parsed = v.safeParse(StoredRecord, (await readFileIfPresent(paths.enrolment)) ?? '');
  return parsed.success ? parsed.output : undefined;
}

/**
 * Enrols this machine unless it is enrolled; retries while the server is away. Returns after a refusal, too: the key may be
 * enrolled although its record is lost, and otherwise {@link enrolAnew} follows.
 */
export async function ensureEnrolled(deps: EnrolmentDeps, signal: AbortSignal): Promise<void> {
  const { clock, logger, random } = deps;
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    if (await isRecorded(deps)) return;
    const token = await readToken(deps.tokenFile);
    if (token === undefined) {
      logger.warn('no record of an enrolment and no token to enrol with; connecting with the existing key', {
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

/** After the server refused this agent: enrols with the token file's token if it was not used here before. True: enrolled. */
export async function enrolAnew(deps: EnrolmentDeps, signal: AbortSignal): Promise<boolean> {
  const token = await readToken(deps.tokenFile);
  if (token === undefined || (await readRecord(deps.paths))?.tokenHash === hashOf(token)) return false;
  return (await enrol(deps, token, signal)).kind === 'enrolled';
}

/** Throws `FloeError('NOT_ENROLLED')` when the agent has neither an enrolment nor a token. */
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
  logger.info('the enrolment token was used before; connecting with the existing key');
  return { kind: 'token-used' };
}

async function writeRecord(deps: EnrolmentDeps, token: string): Promise<void> {
  const { identity, serverUrl, paths, clock } = deps;
  const record: v.InferOutput<typeof EnrolmentRecord> = { host: identity.host, serverUrl, tokenHash: hashOf(token), enrolledAt: clock.now() };
  await writeFileDurably(paths.enrolment, JSON.stringify(record));
}
