import { Hono } from 'hono';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import { answers } from '../openapi/described.ts';
import { describeApi, type ListedRoute } from '../openapi/document.ts';

export interface OpenapiDeps {
  readonly auth: Auth;
  /** The routes of the whole app, as they are when somebody asks. */
  readonly listed: () => readonly ListedRoute[];
}

/** What the API is, for programs. */
export function openapiRoutes({ auth, listed }: OpenapiDeps): Hono<AuthEnv> {
  const app = new Hono<AuthEnv>();
  let document: string | undefined;
  app.get('/', auth.requireAction('read'), answers('this document', v.object({ openapi: v.string() })), (c) => {
    // The routes do not change while the server runs.
    document ??= JSON.stringify(describeApi(listed()));
    return c.body(document, 200, { 'content-type': 'application/json' });
  });
  return app;
}
