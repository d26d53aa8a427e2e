import type { AgentEffect, AgentJournal, AgentReport, AgentState } from '@floe/model';
import { describeError } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import { redactedTail } from '../text/redact.ts';

const MAX_CODE_CHARACTERS = 64;
const MAX_DETAIL_CHARACTERS = 4_000;
/** Reports of these states have the end of the activation's log. */
const FAILED_STATES: ReadonlySet<AgentState> = new Set(['ROLLING_BACK', 'ROLLED_BACK', 'ROLLBACK_FAILED', 'BLOCKED']);

/** The report of a step, with what the machine has now. `at` is ms. */
export async function makeReport(
  { machine, at }: { readonly machine: Machine; readonly at: number },
  journal: AgentJournal,
  effect: Extract<AgentEffect, { type: 'report' }>,
): Promise<AgentReport> {
  const { state, epoch, toplevel, detail } = effect;
  const isOfDirective = state === journal.state && epoch === journal.directive?.epoch;
  // Before this directive changes the machine, the newest activation belongs to an earlier one.
  const log = isOfDirective && journal.before !== null && FAILED_STATES.has(state) ? redactedTail(await readLog(machine, journal.activation)) : '';
  return {
    seq: journal.nextReportSeq,
    epoch,
    state,
    toplevel,
    observed: await machine.observe(),
    ...(detail === null
      ? {}
      : { detail: { code: detail.code.slice(0, MAX_CODE_CHARACTERS), message: detail.message.slice(0, MAX_DETAIL_CHARACTERS) } }),
    ...(isOfDirective ? { timings: journal.timings } : {}),
    ...(log === '' ? {} : { log }),
    at,
  };
}

async function readLog(machine: Machine, activation: number): Promise<string> {
  if (activation === 0) return '';
  return await machine.activationLog(activation).catch((error: unknown) => `the log cannot be read: ${describeError(error)}`);
}
