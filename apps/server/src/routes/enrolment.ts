import {
  CLOSE_CODES,
  EnrolRequest,
  foreign,
  HostName,
  seal,
  type EnrolmentStatement,
  EnrolmentTokenResponse,
  EnrolResponse,
  type RevocationStatement,
} from '@floe/protocol';
import type { StatementLog } from '@floe/pipeline';
import type { Clock, Logger, Signer } from '@floe/runtime';
import type { PlainStore, Repository, StorePart } from '@floe/store';
import { Hono } from 'hono';
import { answers, takes } from '../openapi/described.ts';
import * as v from 'valibot';
import type { AgentHub } from '../agents/hub.ts';
import type { Auth, AuthEnv } from '../auth.ts';
import { newEnrolmentToken, refuseLook, type CredentialLooks } from '../credential-looks.ts';
import { strangersBody, type BodyBudget } from '../http/bodies.ts';
import { refuse } from '../http-error.ts';
import { decide } from './decide.ts';
import { Reason } from './validation.ts';

const TOKEN_LIFETIME_MS = 15 * 60_000;
const MAX_ENROL_BYTES = 4 * 1024;

export interface EnrolmentDeps {
  readonly auth: Auth;
  readonly bodies: BodyBudget;
  readonly looks: CredentialLooks;
  readonly store: StorePart<{ hosts: 'get' }> & Pick<PlainStore, 'decide'>;
  readonly repository: Repository;
  readonly statements: Pick<StatementLog, 'appendEnrolment' | 'appendRevocation'>;
  readonly hub: Pick<AgentHub, 'disconnect'>;
  readonly serverSigner: Signer;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What a host must pin and use, told together with its token. */
  readonly trust: Pick<EnrolmentTokenResponse, 'serverUrl' | 'releaseKeys' | 'serverKeys' | 'substituter' | 'cachePublicKeys'>;
  readonly onHostChanged: (host: HostName) => void;
}

const Host = v.object({ host: HostName });

const CONSUME_ERRORS = {
  unknown: ['ENROLMENT_TOKEN_INVALID', 'the enrolment token is unknown: an administrator makes a new one with: floe enrol HOST'],
  expired: [
    'ENROLMENT_TOKEN_EXPIRED',
    'the enrolment token has expired (it is good for 15 min): an administrator makes a new one with: floe enrol HOST',
  ],
  used: [
    'ENROLMENT_TOKEN_USED',
    'the enrolment token was used already: an administrator makes a new one with: floe enrol HOST. If you did not use it, somebody else did: then first run: floe revoke HOST --reason "…"',
  ],
  'other-host': [
    'ENROLMENT_TOKEN_OTHER_HOST',
    "the enrolment token is for another host: check the host name in the agent's settings, or make a token for this one with: floe enrol HOST",
  ],
} as const;

/** Who may be an agent: one-time tokens, enrolment with the agent's own key, revocation. */
export function enrolmentRoutes(deps: EnrolmentDeps): Hono<AuthEnv> {
  const { store, statements, hub, clock, logger } = deps;
  const app = new Hono<AuthEnv>();
  const { requireAction } = deps.auth;

  app.post(
    '/hosts/:host/enrolment-tokens',
    requireAction('enrol'),
    answers('makes a one-time token with which the machine enrols', EnrolmentTokenResponse, { status: 201 }),
    takes('param', Host),
    async (c) => {
      const { host } = c.req.valid('param');
      const token = newEnrolmentToken();
      const expiresAt = clock.now() + TOKEN_LIFETIME_MS;
      await decide(
        deps,
        c,
        async ({ tokens }) => await tokens.createEnrolmentToken(host, token, expiresAt),
        () => ({ action: 'enrolment-token', subject: host, detail: '' }),
      );
      const body: EnrolmentTokenResponse = { host, token, expiresAt, ...deps.trust };
      return c.json(body, 201);
    },
  );

  app.post(
    '/enrol',
    answers('enrols a machine; its one-time token authenticates it', EnrolResponse, { status: 201 }),
    strangersBody(MAX_ENROL_BYTES, deps.bodies),
    takes('json', foreign(EnrolRequest)),
    async (c) => {
      const { token, host, machineId, publicKey } = c.req.valid('json');
      const looked = await deps.looks.enrol(c, { token, host });
      if (looked.kind !== 'looked') return refuseLook(c, looked);
      const consumed = looked.result ?? { kind: 'unknown' };
      if (consumed.kind !== 'consumed') {
        const [code, message] = CONSUME_ERRORS[consumed.kind];
        logger.warn('an enrolment was refused', { host, code });
        return refuse(c, 403, code, message);
      }
      const statement: EnrolmentStatement = { version: 1, host, machineId, publicKey, enrolledAt: clock.now() };
      await statements.appendEnrolment(seal(deps.serverSigner, 'floe/enrolment', statement), statement);
      const enrolment = { host, repositoryId: deps.repository.id, machineId, publicKey, at: statement.enrolledAt };
      await store.decide(async ({ hosts }) => ({
        result: await hosts.enrol(enrolment),
        entries: [{ at: clock.now(), actor: host, action: 'enrol', subject: host, detail: machineId }],
      }));
      // Whoever was connected under this name with an older key is not this host any more.
      hub.disconnect(host, CLOSE_CODES.unauthorized, 'enrolled again');
      deps.onHostChanged(host);
      logger.info('host enrolled', { host, machineId });
      return c.json({ host }, 201);
    },
  );

  app.delete(
    '/hosts/:host/enrolment',
    requireAction('revoke'),
    answers("ends a host's enrolment: its key is refused from now on"),
    takes('param', Host),
    takes('json', Reason),
    async (c) => {
      const { host } = c.req.valid('param');
      const { reason } = c.req.valid('json');
      const row = await store.hosts.get(host);
      if (row === undefined) return refuse(c, 404, 'HOST_UNKNOWN', `there is no host ${host}`);
      if (row.publicKey === undefined) return refuse(c, 409, 'HOST_NOT_ENROLLED', `${host} is not enrolled: there is nothing to revoke`);
      if (row.revokedAt !== undefined) {
        return refuse(
          c,
          409,
          'HOST_REVOKED',
          `${host} is revoked already; to bring it back, run: floe enrol ${host}; if it is gone permanently and not in the flake, run: floe forget ${host} --reason "…"`,
        );
      }
      const statement: RevocationStatement = { version: 1, host, publicKey: row.publicKey, revokedAt: clock.now(), reason };
      await statements.appendRevocation(seal(deps.serverSigner, 'floe/revocation', statement), statement);
      await decide(
        deps,
        c,
        async ({ hosts, tokens }) => {
          await tokens.voidEnrolmentTokens(host);
          await hosts.revoke(host, statement.revokedAt);
        },
        () => ({ action: 'revoke', subject: host, detail: reason }),
      );
      hub.disconnect(host, CLOSE_CODES.unauthorized, 'revoked');
      deps.onHostChanged(host);
      return c.body(null, 204);
    },
  );
  return app;
}
