import { createHash } from 'node:crypto';
import type { AgentDetail } from '@floe/model';
import { EnrolResponse, type EnrolRequest } from '@floe/protocol';
import { describeError, fullJitter, isFloeError, readFileIfPresent, writeFileDurably, type Clock, type Logger } from '@floe/runtime';
import * as v from 'valibot';
import { readRecord, type EnrolmentRecord } from './enrolment-record.ts';
import type { AgentIdentity } from './identity.ts';
import type { Answer } from './post-json.ts';
import type { StatePaths } from '../state/state-folder.ts';

const ErrorAnswer = v.pipe(v.string(), v.parseJson(), v.object({ error: v.object({ code: v.string(), message: v.string() }) }));
const SuccessAnswer = v.pipe(v.string(), v.parseJson(), EnrolResponse);

const RETRY = { baseMs: 1_000, capMs: 60_000 } as const;

/** The result of one try. */
type EnrolOutcome =
  | { readonly kind: 'enrolled' }
  /** The token was used before: perhaps by this agent, which stopped before it wrote the record. */
  | { readonly kind: 'token-used' }
  | { readonly kind: 'refused' }
  | { readonly kind: 'unreachable'; readonly why: string };

export interface EnrolmentDeps {
  readonly identity: AgentIdentity;
  readonly serverUrl: string;
  readonly tokenFile: string | undefined;
  readonly paths: StatePaths;
  readonly post: (url: string, body: EnrolRequest, signal: AbortSignal) => Promise<Answer>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  /** Shortest wait for a key that cannot be used, in ms. */
  readonly slowRetryMs: number;
  /** Hashes of tokens that were refused since the agent's start. */
  readonly triedTokens: Set<string>;
  /** Why this machine cannot enrol, for its status. */
  readonly onTrouble: (trouble: AgentDetail) => void;
}

/** True when this state has a valid record of an enrolment of this host at this server, also under the name that it had before. */
async function isRecorded(deps: EnrolmentDeps): Promise<boolean> {
  const record = await readRecord(deps.paths);
  const { host, formerHost } = deps.identity;
  return record !== undefined && (record.host === host || record.host === formerHost) && record.serverUrl === deps.serverUrl;
}

/**
 * Loads the key, and enrols this machine unless it is enrolled; retries while the server is away, and slowly while there is no key. Returns also
 * when it cannot enrol: the key may be enrolled although its record is lost, the server says so otherwise, and {@link enrolAnew} follows.
 */
export async function ensureEnrolled(deps: EnrolmentDeps, signal: AbortSignal): Promise<void> {
  const { identity, clock, logger, random } = deps;
  if (!(await loadKey(deps, signal))) return;
  // It most likely is enrolled, whatever this machine forgot. If it is not, the server says so.
  if (identity.keyFile !== undefined) return;
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    if (await isRecorded(deps)) return;
    const token = await readToken(deps.tokenFile);
    if (token === undefined) {
      const trouble = notEnrolled(deps);
      deps.onTrouble(trouble);
      logger.warn('no record of an enrolment and no token to enrol with; connecting with the existing key', {
        code: trouble.code,
        why: trouble.message,
      });
      return;
    }
    const outcome = await enrol(deps, token, signal);
    if (outcome.kind !== 'unreachable') return;
    logger.warn('the server cannot be reached to enrol; trying again', { why: outcome.why });
    await clock.sleep(fullJitter(attempt, RETRY, random), signal);
  }
}

/** False: the agent stops. A key may come late, so that it is waited for, and this machine's status says which one. */
async function loadKey({ identity, clock, logger, onTrouble, slowRetryMs }: EnrolmentDeps, signal: AbortSignal): Promise<boolean> {
  for (let attempt = 0; !signal.aborted; attempt += 1) {
    try {
      await identity.load();
      return true;
    } catch (error) {
      if (!isFloeError(error)) throw error;
      onTrouble({ code: error.code, message: error.message });
      logger[attempt % 10 === 0 ? 'error' : 'debug']('this machine has no key to connect with; looking again', { error });
      await clock.sleep(slowRetryMs, signal);
    }
  }
  return false;
}

function notEnrolled({ tokenFile, identity }: EnrolmentDeps): AgentDetail {
  const where = tokenFile === undefined ? 'put it into a file that FLOE_ENROLMENT_TOKEN_FILE names' : `put it into ${tokenFile}`;
  return {
    code: 'NOT_ENROLLED',
    message: `this machine is not enrolled: an administrator runs "floe enrol ${identity.host}" to get a one-time token; ${where}`,
  };
}

/** True when the token file has a token that was neither used nor refused here: worth a try as soon as it is there. */
export async function hasNewToken({ tokenFile, triedTokens, paths }: EnrolmentDeps): Promise<boolean> {
  const token = await readToken(tokenFile);
  return token !== undefined && !triedTokens.has(hashOf(token)) && (await readRecord(paths))?.tokenHash !== hashOf(token);
}

/** After the server refused this agent: enrols with the token file's token if it was not used here before. True: enrolled. */
export async function enrolAnew(deps: EnrolmentDeps, signal: AbortSignal): Promise<boolean> {
  const token = await readToken(deps.tokenFile);
  return token !== undefined && (await hasNewToken(deps)) && (await enrol(deps, token, signal)).kind === 'enrolled';
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
  identity.useFirst();
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
  // Of others, such as too many tries from here, another try may come to something else.
  if (code.startsWith('ENROLMENT_TOKEN_')) deps.triedTokens.add(hashOf(token));
  if (code !== 'ENROLMENT_TOKEN_USED') {
    logger.error('the server refuses to enrol this machine', { code, reason: message });
    deps.onTrouble({ code, message });
    return { kind: 'refused' };
  }
  logger.info('the enrolment token was used before; connecting with the existing key');
  return { kind: 'token-used' };
}

async function writeRecord(deps: EnrolmentDeps, token: string): Promise<void> {
  const { identity, serverUrl, paths, clock } = deps;
  const { host, keyFile } = identity;
  const kept = keyFile === undefined ? {} : { keyFile };
  const record: EnrolmentRecord = { host, serverUrl, tokenHash: hashOf(token), enrolledAt: clock.now(), ...kept };
  await writeFileDurably(paths.enrolment, JSON.stringify(record));
}
