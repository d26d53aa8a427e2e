import type { Clock, Exec, Logger } from '@floe/runtime';

export interface ServiceManagerDeps {
  readonly exec: Exec;
  /** With systemd's `NOTIFY_SOCKET` and `WATCHDOG_USEC`, when it wants to be told. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Tells systemd that the service is ready, and then, twice per watchdog interval, that it is not stuck. The message comes from
 * the event loop, so that systemd restarts an agent whose loop hangs. Does nothing without systemd.
 */
export async function tellServiceManager(deps: ServiceManagerDeps, signal: AbortSignal): Promise<void> {
  const { env, clock, logger } = deps;
  if (env['NOTIFY_SOCKET'] === undefined) return;
  const tell = async (word: string): Promise<void> => {
    // Node has no Unix datagram sockets; systemd-notify comes with systemd.
    const result = await deps.exec('systemd-notify', [word], { env, timeoutMs: 10_000 }).catch(() => undefined);
    if (result?.exitCode !== 0) logger.warn('systemd could not be notified', { word });
  };
  await tell('--ready');
  const everyMs = Number(env['WATCHDOG_USEC'] ?? 0) / 2_000;
  if (!(everyMs > 0)) return;
  while (!signal.aborted) {
    await clock.sleep(everyMs, signal);
    if (!signal.aborted) await tell('WATCHDOG=1');
  }
}
