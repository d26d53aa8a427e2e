export { send, SEND_LIMIT_MS } from './send.ts';
export type { Message, SendOutcome } from './message.ts';
export { TARGET_KINDS, type TargetAddress } from './target.ts';
