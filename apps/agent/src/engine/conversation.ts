import { withoutFuture } from '@floe/model';
import {
  CLOSE_CODES,
  DIRECTIVE_TREE,
  helloBytes,
  PROTOCOL_VERSION,
  SIGNED_REPORTS,
  type AgentPolicy,
  type Envelope,
  type Hello,
  type SealedDirective,
  type TrustedKey,
  type Welcome,
} from '@floe/protocol';
import { sha256, verifySignature, type Clock, type Logger } from '@floe/runtime';
import type { Stager } from '../ahead/stager.ts';
import type { Machine } from '../machines/machine.ts';
import type { Connection } from '../server/connection.ts';
import type { ConnectionHandlers } from '../server/connection-handlers.ts';
import type { ContactCheck } from '../server/contact.ts';
import type { Identity } from '../server/identity.ts';
import { isTrusted, judgeDirective, type DirectiveContext } from '../server/judge-directive.ts';
import { judgeStage } from '../server/judge-stage.ts';
import type { TimeQuestion } from '../server/time-question.ts';
import type { ReportQueue } from '../state/report-queue.ts';
import type { Inbox } from './inbox.ts';
import type { JournalStore } from './journal-store.ts';
import type { Loop } from './loop.ts';
import type { MachineWatch } from './machine-watch.ts';
import type { Scheduler } from './scheduler.ts';
import type { SignedReports } from './signed-reports.ts';

/** A release whose branch was last confirmed longer ago than this is logged as old. */
const STALE_MS = 3 * 24 * 3600 * 1000;
/** A difference between the machine's clock and the server's is logged from here on. */
const CLOCK_DIFFERS_MS = 5 * 60_000;

export interface ConversationSettings {
  readonly releaseKeys: readonly TrustedKey[];
  readonly serverKeys: readonly TrustedKey[];
  readonly rejectBefore: number;
  readonly repository: string | undefined;
  readonly ref: string | undefined;
  readonly agentVersion: string;
}

export interface ConversationDeps {
  readonly settings: ConversationSettings;
  readonly identity: Identity;
  readonly machine: Pick<Machine, 'observe' | 'canTry'>;
  readonly store: JournalStore;
  readonly loop: Loop;
  readonly inbox: Inbox;
  readonly scheduler: Scheduler;
  readonly watch: MachineWatch;
  readonly connection: Connection;
  readonly contact: ContactCheck;
  readonly timeQuestion: TimeQuestion;
  readonly stager: Stager;
  readonly reports: ReportQueue;
  readonly signedReports: SignedReports;
  /** The policy of the system that runs. */
  readonly readPolicy: () => Promise<AgentPolicy>;
  readonly enrolAnew: (signal: AbortSignal) => Promise<boolean>;
  readonly stopping: AbortSignal;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What the agent says to its server, and what it does about each message of the server's. */
export class Conversation implements ConnectionHandlers {
  readonly #deps: ConversationDeps;

  constructor(deps: ConversationDeps) {
    this.#deps = deps;
  }

  async hello(nonce: string): Promise<Hello> {
    const { identity, machine, settings, loop } = this.#deps;
    const { host, machineId, bootId, system, signer } = identity;
    const { state, directive, epoch, sequences, nextReportSeq } = loop.journal;
    const observed = await machine.observe();
    loop.lastReported = observed;
    return {
      type: 'hello',
      protocol: PROTOCOL_VERSION,
      agentVersion: settings.agentVersion,
      host,
      machineId,
      bootId,
      system,
      signature: signer.sign(helloBytes({ nonce, host, machineId, bootId })),
      observed,
      state,
      toplevel: directive?.release.toplevel ?? null,
      epoch,
      sequence: Math.max(0, ...sequences.map(({ sequence }) => sequence)),
      reportSeq: nextReportSeq - 1,
      capabilities: ['permit', 'stage', 'trial', 'urgent', 'once', 'submitted', 'rename', SIGNED_REPORTS, DIRECTIVE_TREE],
    };
  }

  welcomed(welcome: Welcome): void {
    this.#deps.identity.settled?.();
    this.#deps.inbox.add(async () => await this.#catchUp(welcome));
  }

  directive(envelope: SealedDirective, nonce: string): void {
    this.#deps.inbox.add(async () => await this.#judge(envelope, nonce));
  }

  stage(envelope: Envelope, nonce: string): void {
    this.#deps.inbox.add(async () => await this.#judgeStage(envelope, nonce));
  }

  /** A `go` that waited past its lease, e.g. for a disk that hangs or while the machine slept, is dropped: the agent asks again. */
  go(epoch: number, leaseMs: number): void {
    const { clock, inbox, logger, watch } = this.#deps;
    const endsAt = clock.sinceBoot() + leaseMs;
    inbox.add(async () => {
      if (clock.sinceBoot() <= endsAt) await watch.stepAfterLook({ type: 'go', epoch });
      else logger.warn("the server's go expired before the agent could follow it; asking again", { epoch, leaseMs });
    });
  }

  acknowledged(seq: number): void {
    const { inbox, reports } = this.#deps;
    inbox.add(async () => await reports.acknowledge(seq));
  }

  async refused({ closeCode }: Parameters<ConnectionHandlers['refused']>[0]): Promise<boolean> {
    const { enrolAnew, identity, stopping } = this.#deps;
    if (closeCode === CLOSE_CODES.unauthorized && identity.useOther?.() === true) return true;
    return await enrolAnew(stopping);
  }

  /** After the welcome: corrects what was dated by a wrong clock, and sends what the server does not have yet. */
  async #catchUp(welcome: Welcome): Promise<void> {
    const { reports, signedReports, logger, clock, store, connection, scheduler } = this.#deps;
    const differenceMs = welcome.serverTime - clock.now();
    if (Math.abs(differenceMs) > CLOCK_DIFFERS_MS)
      logger.warn("this machine's clock and the server's differ; the agent judges by the server's what expired", { differenceMs });
    const corrected = withoutFuture(store.current, Math.max(welcome.serverTime, clock.now()));
    if (corrected !== store.current && !(await store.save(corrected))) return;
    if (welcome.reportSeq >= store.current.nextReportSeq) {
      // The server has reports that this journal does not know: the journal was lost. Continue above their numbers.
      const nextReportSeq = await reports.renumber(welcome.reportSeq + 1);
      const report = reports.waiting.at(-1) ?? null;
      if (!(await store.save({ ...store.current, nextReportSeq, report }))) return;
    } else {
      await reports.acknowledge(welcome.reportSeq);
    }
    for (const report of reports.waiting) {
      connection.send({ type: 'report', ...report });
      signedReports.sent(report);
    }
    await signedReports.tellNow();
    scheduler.repeatAsk();
    // The network is back, and with it probably the cache; or the machine slept, and its maintenance window may be open.
    if (store.current.state === 'DOWNLOADING' || store.current.state === 'DEFERRED') scheduler.retryNow();
  }

  /** What orders and hints are judged by. Undefined: the connection ended meanwhile; the server says it again on the next. */
  async #judgedBy(nonce: string): Promise<DirectiveContext | undefined> {
    const { settings, identity, machine, connection, clock, loop, readPolicy } = this.#deps;
    const isEnabled = (await readPolicy()).trials.enable;
    // Read last, since all of it may change meanwhile.
    const { serverNow } = connection;
    if (serverNow === undefined) return undefined;
    const { host, formerHost, machineId, bootId, system } = identity;
    const { releaseKeys, serverKeys, rejectBefore, repository, ref } = settings;
    const { journal } = loop;
    const machineNow = clock.now();
    const trials = !isEnabled ? 'not-enabled' : machine.canTry ? 'allowed' : 'not-here';
    const pinned = { host, formerHost, machineId, bootId, system, releaseKeys, serverKeys, rejectBefore, repository, ref };
    return { ...pinned, nonce, serverNow, machineNow, trials, uptimeMs: clock.sinceBoot(), journal, verify: verifySignature, sha256 };
  }

  async #judgeStage(envelope: Envelope, nonce: string): Promise<void> {
    const { logger, stager } = this.#deps;
    const context = await this.#judgedBy(nonce);
    if (context === undefined) return;
    const judgement = judgeStage(envelope, context);
    if (judgement.kind === 'accepted') stager.hint(judgement.release, judgement.spreadMs);
    else logger.warn('a hint is not followed', { code: judgement.detail.code, why: judgement.detail.message });
  }

  async #judge(envelope: SealedDirective, nonce: string): Promise<void> {
    const { logger, contact, loop, timeQuestion, watch } = this.#deps;
    const context = await this.#judgedBy(nonce);
    if (context === undefined) return;
    const { serverNow } = context;
    const judgement = judgeDirective(envelope, context);
    contact.noteJudgement(nonce, isTrusted(judgement));
    if (judgement.kind === 'known') return;
    if (judgement.kind === 'refused') {
      const { epoch, toplevel, detail } = judgement;
      await loop.step({ type: 'refused', epoch, toplevel, detail });
      if (detail.code === 'DIRECTIVE_EXPIRED') timeQuestion.ask();
      return;
    }
    const { directive, freshness, floor } = judgement;
    logger.info('directive accepted', { epoch: directive.epoch, mode: directive.mode, ...directive.release });
    if (freshness !== null && serverNow - freshness.asOf > STALE_MS) {
      logger.warn('the newest freshness statement of this branch is old: does the builder run?', { asOf: new Date(freshness.asOf).toISOString() });
    }
    // In any state: the report of this step makes what runs the expected system.
    await watch.lookForDrift();
    await loop.step({ type: 'offered', directive, freshness, floor });
  }
}
