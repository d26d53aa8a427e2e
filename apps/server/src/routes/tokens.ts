import { ForgeLogin, foreign, NewTokenRequest, NewTokenResponse, SignerName, TokenName, TokenViews, type TokenView } from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { PlainStore, StorePart } from '@floe/store';
import { utcTime } from '@floe/views';
import { Hono } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import * as v from 'valibot';
import { newApiToken } from '../admin-token.ts';
import type { Auth, AuthEnv } from '../auth.ts';
import { refuse } from '../http-error.ts';
import { decide } from './decide.ts';
import { Reason, ReasonText } from './validation.ts';

const Name = v.object({ name: TokenName });
const Wanted = foreign(NewTokenRequest);
/** Null removes it, and what is left out stays. */
const Description = foreign(
  v.pipe(
    v.strictObject({
      reason: ReasonText,
      person: v.optional(v.nullable(TokenName)),
      forgeLogin: v.optional(v.nullable(ForgeLogin)),
      signer: v.optional(v.nullable(SignerName)),
    }),
    v.check(
      ({ person, forgeLogin, signer }) => person !== undefined || forgeLogin !== undefined || signer !== undefined,
      'say person, forgeLogin or signer',
    ),
  ),
);

export interface TokenRouteDeps {
  readonly auth: Auth;
  readonly store: StorePart<{ tokens: 'listApiTokens' }> & Pick<PlainStore, 'decide'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Who may use the API: tokens with a name and a role. */
export function tokenRoutes(deps: TokenRouteDeps): Hono<AuthEnv> {
  const { store, clock } = deps;
  const { requireAction } = deps.auth;
  const app = new Hono<AuthEnv>();

  app.get('/', requireAction('manage-tokens'), answers('the API tokens', TokenViews), async (c) => {
    const tokens = await store.tokens.listApiTokens();
    const body = tokens.map(({ name, role, createdAt, createdBy, person, forgeLogin, signer, lastUsedAt, expiresAt }): TokenView => ({
      name,
      role: role ?? null,
      createdAt,
      createdBy: createdBy ?? null,
      person,
      forgeLogin: forgeLogin ?? null,
      signer: signer ?? null,
      lastUsedAt: lastUsedAt ?? null,
      expiresAt: expiresAt ?? null,
    }));
    return c.json(body);
  });

  app.post(
    '/',
    requireAction('manage-tokens'),
    answers('makes an API token, which is shown this once', NewTokenResponse, { status: 201 }),
    takes('json', Wanted),
    async (c) => {
      const { name, role, expiresInMs, person, forgeLogin, signer } = c.req.valid('json');
      const { actor } = c.var;
      const at = clock.now();
      const token = newApiToken();
      const expiresAt = expiresInMs === undefined ? undefined : at + expiresInMs;
      const until = expiresAt === undefined ? '' : `, until ${utcTime(expiresAt)}`;
      const detail = `${role}${until}${whoseWords({ person, forgeLogin, signer })}`;
      const outcome = await decide(
        deps,
        c,
        async ({ tokens }) => await tokens.createApiToken({ name, role, token, at, by: actor.name, person, forgeLogin, signer, expiresAt }),
        (made) => (made === 'created' ? { action: 'create-token', subject: name, detail } : undefined),
      );
      if (outcome === 'not-allowed') return refuse(c, 403, 'ROLE_TOO_LOW', `${actor.name} is no administrator any more`);
      if (outcome === 'name-taken')
        return refuse(
          c,
          409,
          'TOKEN_NAME_TAKEN',
          `there is a token ${name} already: choose another name, or first run: floe token revoke ${name} --reason "…"`,
        );
      const body: NewTokenResponse = { name, role, token, expiresAt: expiresAt ?? null };
      return c.json(body, 201);
    },
  );

  app.post(
    '/:name',
    requireAction('manage-tokens'),
    answers('says whose an API token is'),
    takes('param', Name),
    takes('json', Description),
    async (c) => {
      const { name } = c.req.valid('param');
      const { reason, person, forgeLogin, signer } = c.req.valid('json');
      const { actor } = c.var;
      const at = clock.now();
      const detail = `${reason}${whoseWords({ person, forgeLogin, signer })}`;
      const outcome = await decide(
        deps,
        c,
        async ({ tokens }) => await tokens.describeApiToken({ name, by: actor.name, at, person, forgeLogin, signer }),
        (said) => (said === 'described' ? { action: 'set-token', subject: name, detail } : undefined),
      );
      if (outcome === 'not-allowed') return refuse(c, 403, 'ROLE_TOO_LOW', `${actor.name} is no administrator any more`);
      if (outcome === 'unknown') return refuse(c, 404, 'TOKEN_UNKNOWN', `there is no token ${name}`);
      return c.body(null, 204);
    },
  );

  app.delete('/:name', requireAction('manage-tokens'), answers('revokes an API token'), takes('param', Name), takes('json', Reason), async (c) => {
    const { name } = c.req.valid('param');
    const { actor } = c.var;
    const now = clock.now();
    const { reason: detail } = c.req.valid('json');
    const outcome = await decide(
      deps,
      c,
      async ({ tokens }) => await tokens.revokeApiToken({ name, by: actor.name, now }),
      (ended) => (ended === 'revoked' ? { action: 'revoke-token', subject: name, detail } : undefined),
    );
    if (outcome === 'not-allowed') return refuse(c, 403, 'ROLE_TOO_LOW', `${actor.name} is no administrator any more`);
    if (outcome === 'unknown') return refuse(c, 404, 'TOKEN_UNKNOWN', `there is no token ${name}`);
    if (outcome === 'last-administrator')
      return refuse(
        c,
        409,
        'LAST_ADMINISTRATOR',
        `without ${name} no administrator's token without an end would be left: first make another one with: floe token create NAME --role administrator`,
      );
    return c.body(null, 204);
  });
  return app;
}

/** For the log of decisions: approvals count by it. */
function whoseWords({
  person,
  forgeLogin,
  signer,
}: {
  readonly person?: string | null | undefined;
  readonly forgeLogin?: string | null | undefined;
  readonly signer?: string | null | undefined;
}): string {
  const whose = person === undefined ? '' : `; person: ${person ?? 'its own name'}`;
  const login = forgeLogin === undefined ? '' : `; login at the forge: ${forgeLogin ?? 'none'}`;
  return `${whose}${login}${signer === undefined ? '' : `; signs commits as: ${signer ?? 'nobody'}`}`;
}
