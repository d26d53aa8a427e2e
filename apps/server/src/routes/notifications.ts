import { NotificationTargetViews, NotificationTested, TargetName } from '@floe/protocol';
import type { Clock } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import { Hono } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { refuse } from '../http-error.ts';
import type { Notifications } from '../notifications/notifications.ts';

const Name = v.object({ name: TargetName });

export interface NotificationRouteDeps {
  readonly auth: Auth;
  readonly store: StorePart<{ audit: 'append' }>;
  readonly clock: Clock;
  readonly notifications: Pick<Notifications, 'list' | 'test'>;
}

/** Who is told what happens, and whether that arrives. */
export function notificationRoutes({ auth, store, clock, notifications }: NotificationRouteDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  app.get('/', auth.requireAction('read'), answers('who is told what happens', NotificationTargetViews), async (c) =>
    c.json(await notifications.list()),
  );

  app.post(
    '/:name/test',
    auth.requireAction('test-notification'),
    answers('sends a message to a target, and says whether that arrived', NotificationTested),
    takes('param', Name),
    async (c) => {
      const { name } = c.req.valid('param');
      const { actor } = c.var;
      const tested = await notifications.test(name, actor.name);
      if (tested === undefined)
        return refuse(
          c,
          404,
          'TARGET_UNKNOWN',
          `there is no notification target ${name}: floe notify list names them, and the server's settings make them`,
        );
      const detail = `${tested.isSent ? 'sent' : 'failed'}: ${tested.answer}`;
      await store.audit.append({ at: clock.now(), actor: actor.name, action: 'test-notification', subject: name, detail });
      return c.json(tested);
    },
  );
  return app;
}
