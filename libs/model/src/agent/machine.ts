import type { AgentEvent, AgentEventType } from './events.ts';
import type { AgentJournal } from './journal.ts';
import type { AgentStep } from './step.ts';
import { TABLE, type Cell } from './table.ts';

/**
 * What an agent does about an event: first the journal goes to disk, then the effects run. Pure. SPEC.md, "Agent", has
 * the table in words, and its invariants.
 */
export function decide(journal: AgentJournal, event: AgentEvent, now: number): AgentStep {
  if (isLate(journal, event)) return { journal, effects: [] };
  const cell = TABLE[journal.state][event.type] as Cell<AgentEventType>;
  return cell(journal, event, now);
}

/** True when the event is about another directive than the one under way. */
function isLate(journal: AgentJournal, event: AgentEvent): boolean {
  return 'epoch' in event && event.type !== 'refused' && event.epoch !== journal.directive?.epoch;
}
