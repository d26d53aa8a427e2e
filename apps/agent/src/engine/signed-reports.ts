import { acceptedSequence, isTerminalAgentState, type AgentJournal, type AgentReport } from '@floe/model';
import { seal, type HostReport } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import type { Connection } from '../server/connection.ts';
import type { Identity } from '../server/identity.ts';

export interface SignedReportDeps {
  readonly identity: Identity;
  readonly machine: Pick<Machine, 'observe'>;
  readonly connection: Pick<Connection, 'send' | 'nonce' | 'takesSigned'>;
  readonly journal: () => AgentJournal;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Pick<Logger, 'warn'>;
}

/**
 * Signs what this machine runs by its own key, so that people can check it without their server (`floe verify`). It is beside the state machine: what
 * cannot be signed or sent now is said after the next welcome.
 */
export class SignedReports {
  readonly #deps: SignedReportDeps;

  constructor(deps: SignedReportDeps) {
    this.#deps = deps;
  }

  /** Beside a report that was sent, if the machine is at rest in it. A trial is told, too, as nothing else says what runs meanwhile. */
  sent(report: AgentReport): void {
    const { state } = report;
    if (isTerminalAgentState(state) || state === 'TRYING' || state === 'IDLE') this.#send(report);
  }

  /** What runs now. */
  async tellNow(): Promise<void> {
    const { machine, connection, journal, clock, logger } = this.#deps;
    if (!connection.takesSigned) return;
    try {
      const observed = await machine.observe();
      const { nextReportSeq, state, directive } = journal();
      const toplevel = directive?.release.toplevel ?? null;
      this.#send({ seq: nextReportSeq - 1, epoch: directive?.epoch ?? 0, state, toplevel, observed, at: clock.now() });
    } catch (error) {
      logger.warn('what this machine runs cannot be signed', { error });
    }
  }

  #send(report: AgentReport): void {
    const { identity, connection } = this.#deps;
    const { nonce } = connection;
    if (nonce === undefined || !connection.takesSigned) return;
    const { host, machineId, bootId, signer } = identity;
    const statement = hostReport(report, this.#deps.journal(), { host, machineId, bootId, nonce });
    connection.send({ type: 'signed-report', envelope: seal(signer, 'floe/report', statement) });
  }
}

/** What is signed of a report. The journal is that of when it is sent: of another directive than the report's it says nothing. */
export function hostReport(
  { seq, epoch, state, toplevel, observed, detail, at }: AgentReport,
  journal: AgentJournal,
  { host, machineId, bootId, nonce }: Pick<HostReport, 'host' | 'machineId' | 'bootId' | 'nonce'>,
): HostReport {
  const { directive, override } = journal;
  const own = directive !== null && directive.epoch === epoch && directive.release.toplevel === toplevel ? directive : null;
  return {
    version: 1,
    host,
    machineId,
    bootId,
    seq,
    epoch,
    state,
    toplevel,
    release: own && released(own.release),
    floor: own === null ? 0 : acceptedSequence(journal, own.release.repository, own.release.ref),
    isTrial: own !== null && own.trial !== null,
    isOverridden: override !== null,
    observed,
    code: detail?.code.slice(0, 64) ?? null,
    at,
    nonce,
  };
}

function released({ repository, ref, commit, sequence, toplevel }: NonNullable<AgentJournal['directive']>['release']): HostReport['release'] {
  return { repository, ref, commit, sequence, toplevel };
}
