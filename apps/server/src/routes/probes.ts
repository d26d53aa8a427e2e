import { storableText } from '@floe/model';
import { ProbeConfigViews, ProbeName, ProbeTested, type ProbeConfigView } from '@floe/protocol';
import type { Clock } from '@floe/runtime';
import type { StorePart } from '@floe/store';
import { boundWords, probeAnswerWords } from '@floe/views';
import { Hono } from 'hono';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';
import { placeOf, type ConfiguredProbe } from '../probes/probes-config.ts';
import type { Probes } from '../probes/probes.ts';

const Name = v.object({ name: ProbeName });

export interface ProbeRouteDeps {
  readonly auth: Auth;
  readonly store: StorePart<{ audit: 'append' }>;
  readonly clock: Clock;
  readonly probes: Pick<Probes, 'list' | 'test'>;
}

/** What rings may be asked about outside, and whether it answers. */
export function probeRoutes({ auth, store, clock, probes }: ProbeRouteDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  app.get('/', auth.requireAction('read'), answers('the probes that a policy can name', ProbeConfigViews), (c) => c.json(probes.list().map(view)));

  app.post(
    '/:name/test',
    auth.requireAction('test-probe'),
    answers('asks a probe about nothing, and says what it answered', ProbeTested),
    takes('param', Name),
    async (c) => {
      const { name } = c.req.valid('param');
      const tested = await probes.test(name);
      if (tested === undefined)
        return refuse(c, 404, 'PROBE_UNKNOWN', `there is no probe ${name}: floe probe list names them, and the server's settings make them`);
      const text = storableText(probeAnswerWords({ ...tested, name }));
      await store.audit.append({ at: clock.now(), actor: c.var.actor.name, action: 'test-probe', subject: name, detail: text });
      return c.json({ verdict: tested.verdict, text, tookMs: tested.tookMs });
    },
  );
  return app;
}

function view({ name, address }: ConfiguredProbe): ProbeConfigView {
  const { kind } = address;
  const query = kind === 'prometheus' ? storableText(address.query) : null;
  return { name, kind, place: placeOf(address), query, good: kind === 'prometheus' ? boundWords(address) : null };
}
