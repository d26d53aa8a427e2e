import type { Exec } from '@floe/runtime';
import * as v from 'valibot';

const TIMEOUT_MS = 10_000;
const BUS = 'org.freedesktop.DBus';

/** The interface of notification servers, and the name that the one of a session has. */
export const NOTIFICATIONS = 'org.freedesktop.Notifications';
export const NOTIFICATIONS_PATH = '/org/freedesktop/Notifications';

/** Of a server that reads simple markup in what it shows. */
const MARKUP = 'body-markup';

const CapabilitiesAnswer = v.pipe(v.string(), v.parseJson(), v.object({ type: v.literal('as'), data: v.tuple([v.array(v.string())]) }));
const OwnerAnswer = v.pipe(v.string(), v.parseJson(), v.object({ type: v.literal('s'), data: v.tuple([v.string()]) }));

/** Who shows the notifications of this session, by a name that no other process gets; undefined: nobody, or the bus does not say. Starts none. */
export async function notificationServer(exec: Exec, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const call = ['--user', '--json=short', 'call', BUS, '/org/freedesktop/DBus', BUS, 'GetNameOwner', 's', NOTIFICATIONS];
  const result = await exec('busctl', call, { env, timeoutMs: TIMEOUT_MS }).catch(() => undefined);
  const parsed = v.safeParse(OwnerAnswer, result?.stdout);
  return parsed.success ? parsed.output.data[0] : undefined;
}

/** Whether it takes `<` and `&` for markup, as nearly all do. True where it does not say. */
export async function readsMarkup(exec: Exec, env: NodeJS.ProcessEnv): Promise<boolean> {
  const call = ['--user', '--json=short', '--auto-start=no', 'call', NOTIFICATIONS, NOTIFICATIONS_PATH, NOTIFICATIONS, 'GetCapabilities'];
  const result = await exec('busctl', call, { env, timeoutMs: TIMEOUT_MS }).catch(() => undefined);
  const parsed = v.safeParse(CapabilitiesAnswer, result?.stdout);
  return !parsed.success || parsed.output.data[0].includes(MARKUP);
}
