/**
 * Runs loops until `stopping` aborts. One that fails takes the others with it, and its error is thrown: the service manager restarts the whole
 * process.
 */
export async function runLoops(begin: (running: AbortSignal) => readonly Promise<void>[], stopping: AbortSignal): Promise<void> {
  const failed = new AbortController();
  const loops = begin(AbortSignal.any([stopping, failed.signal]));
  for (const loop of loops) loop.catch(() => failed.abort());
  const ended = await Promise.allSettled(loops);
  const failure = ended.find((each) => each.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
