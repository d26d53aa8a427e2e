import { AGENT_POLICY_FILE, AgentPolicy, DEFAULT_AGENT_POLICY } from '@floe/protocol';
import type { Logger } from '@floe/runtime';
import * as v from 'valibot';
import type { Machine } from '../machines/machine.ts';

const PolicyText = v.pipe(v.string(), v.parseJson(), AgentPolicy);

/** Whether a system's own policy allows that systems are tried. */
export function allowsTrials(text: string | undefined): boolean {
  const parsed = v.safeParse(PolicyText, text);
  return parsed.success && parsed.output.trials.enable;
}

/** The policy in the running system's own configuration. The default when it cannot be read. */
export async function readPolicy({ machine, logger }: { readonly machine: Machine; readonly logger: Logger }): Promise<AgentPolicy> {
  const { current } = await machine.observe();
  const text = current === null ? undefined : await machine.readSystemFile(current, AGENT_POLICY_FILE);
  if (text === undefined) return DEFAULT_AGENT_POLICY;
  const parsed = v.safeParse(PolicyText, text);
  if (parsed.success) return parsed.output;
  logger.error(`${AGENT_POLICY_FILE} of the running system cannot be read; the default policy holds`, {
    why: v.summarize(parsed.issues).slice(0, 500),
  });
  return DEFAULT_AGENT_POLICY;
}
