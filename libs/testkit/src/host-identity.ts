import { NOTHING_OBSERVED } from '@floe/model';
import { helloBytes, HostName, PROTOCOL_VERSION, type Hello } from '@floe/protocol';
import { generateKeyPem, signerFromPem, type Signer } from '@floe/runtime';
import * as v from 'valibot';

/** An invented host, with its key. */
export interface HostIdentity {
  readonly host: HostName;
  readonly machineId: string;
  readonly signer: Signer;
}

export function createHostIdentity(host: string, machineId = 'a'.repeat(32)): HostIdentity {
  return { host: v.parse(HostName, host), machineId, signer: signerFromPem('host', generateKeyPem()) };
}

/** The hello of an agent without history, with `changes` applied, signed by `identity`. */
export function helloOf(identity: HostIdentity, nonce: string, changes: Partial<Hello> = {}): Hello {
  const who = { host: identity.host, machineId: identity.machineId, bootId: 'boot-1', ...changes };
  return {
    type: 'hello',
    protocol: PROTOCOL_VERSION,
    agentVersion: '0',
    system: 'x86_64-linux',
    observed: NOTHING_OBSERVED,
    state: 'IDLE',
    toplevel: null,
    epoch: 0,
    sequence: 0,
    reportSeq: 0,
    capabilities: [],
    signature: identity.signer.sign(helloBytes({ nonce, host: who.host, machineId: who.machineId, bootId: who.bootId })),
    ...who,
  };
}
