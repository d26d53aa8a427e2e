export { send } from './send.ts';
export type { Message, SendOutcome } from './message.ts';
export { TARGET_KINDS, type TargetAddress } from './target.ts';
