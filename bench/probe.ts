import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ServerAnswer } from './agents-wire.ts';

// Loaded into a server before its own code: says how much of JavaScript's heap and of buffers is in use. The resident size would include
// freed memory.

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

process.on('message', (message: { readonly type: string }) => {
  if (message.type !== 'use') return;
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  process.send?.({ type: 'used', bytes: heapUsed + external } satisfies ServerAnswer);
});
// Nor does it go on without the benchmark.
process.on('disconnect', () => process.exit());
// The server ends when it has nothing more to do, as it does alone.
process.channel?.unref();
