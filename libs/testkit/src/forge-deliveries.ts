import { createHmac } from 'node:crypto';

/** What a forge tells of a push. */
export interface ToldPush {
  readonly ref?: string;
  readonly before: string;
  readonly after: string;
  readonly login: string;
  readonly fullName?: string;
  readonly cloneUrl: string;
  readonly sshUrl?: string;
}

/** A delivery of a webhook, as a forge sends it. */
export interface ForgeDelivery {
  readonly path: string;
  readonly body: string;
  readonly headers: Record<string, string>;
}

interface ForgeWays {
  readonly payload: (push: Required<ToldPush>) => Record<string, unknown>;
  readonly headers: (body: string, secret: string, id: string) => Record<string, string>;
  /** The header that proves who sent it. */
  readonly proof: string;
  readonly deliveryId: string;
  /** A header that says another event. */
  readonly otherEvent: Record<string, string>;
  /** The fields of the payload that are read. */
  readonly fields: readonly string[];
}

const hmac = (body: string, secret: string): string => createHmac('sha256', secret).update(body).digest('hex');

const gitea = (prefix: 'forgejo' | 'gitea'): ForgeWays => ({
  payload: ({ ref, before, after, login, fullName, cloneUrl, sshUrl }) => ({
    ref,
    before,
    after,
    compare_url: '',
    commits: [{ id: after, message: 'a change', author: { name: login, email: 'somebody@example.org', username: login } }],
    repository: { id: 140, full_name: fullName, clone_url: cloneUrl, ssh_url: sshUrl, default_branch: 'main' },
    pusher: { id: 1, login, full_name: '', email: 'somebody@example.org', username: login },
    sender: { id: 1, login, full_name: '', email: 'somebody@example.org', username: login },
  }),
  headers: (body, secret, id) => ({
    [`x-${prefix}-event`]: 'push',
    [`x-${prefix}-delivery`]: id,
    [`x-${prefix}-signature`]: hmac(body, secret),
  }),
  proof: `x-${prefix}-signature`,
  deliveryId: `x-${prefix}-delivery`,
  otherEvent: { [`x-${prefix}-event`]: 'pull_request' },
  fields: [
    'ref',
    'before',
    'after',
    'pusher',
    'pusher.login',
    'sender.username',
    'repository',
    'repository.full_name',
    'repository.clone_url',
    'repository.ssh_url',
  ],
});

const WAYS = {
  github: {
    payload: ({ ref, before, after, login, fullName, cloneUrl, sshUrl }) => ({
      ref,
      before,
      after,
      deleted: after === '0'.repeat(40),
      forced: false,
      repository: { full_name: fullName, clone_url: cloneUrl, ssh_url: sshUrl },
      pusher: { name: login },
      sender: { login },
    }),
    headers: (body, secret, id) => ({
      'x-github-event': 'push',
      'x-github-delivery': id,
      'x-hub-signature-256': `sha256=${hmac(body, secret)}`,
    }),
    proof: 'x-hub-signature-256',
    deliveryId: 'x-github-delivery',
    otherEvent: { 'x-github-event': 'issues' },
    fields:
      'ref before after deleted forced repository repository.full_name repository.clone_url repository.ssh_url pusher pusher.name sender sender.login'.split(
        ' ',
      ),
  },
  gitlab: {
    payload: ({ ref, before, after, login, fullName, cloneUrl, sshUrl }) => ({
      object_kind: 'push',
      event_name: 'push',
      ref,
      before,
      after,
      checkout_sha: after,
      user_id: 4,
      user_name: 'Somebody',
      user_username: login,
      project_id: 15,
      project: { id: 15, path_with_namespace: fullName, git_http_url: cloneUrl, git_ssh_url: sshUrl, default_branch: 'main' },
      commits: [{ id: after, message: 'a change' }],
      total_commits_count: 1,
    }),
    headers: (_body, secret, id) => ({ 'x-gitlab-event': 'Push Hook', 'x-gitlab-event-uuid': id, 'x-gitlab-token': secret }),
    proof: 'x-gitlab-token',
    deliveryId: 'x-gitlab-event-uuid',
    otherEvent: { 'x-gitlab-event': 'Tag Push Hook' },
    fields:
      'ref before after user_username project project.path_with_namespace project.git_http_url project.git_ssh_url commits commits.0 commits.0.id'.split(
        ' ',
      ),
  },
  forgejo: gitea('forgejo'),
  gitea: gitea('gitea'),
} as const satisfies Record<string, ForgeWays>;

export type DeliveringForge = keyof typeof WAYS;

/** How each forge's webhooks look. */
export const FORGE_WAYS: Readonly<Record<DeliveringForge, ForgeWays>> = WAYS;

/** A payload as it is sent by this forge with this secret. */
export function forgeDelivery(forge: DeliveringForge, payload: unknown, secret: string, id = 'delivery-1'): ForgeDelivery {
  const body = typeof payload === 'string' ? payload : JSON.stringify(payload);
  const headers = { 'content-type': 'application/json', ...FORGE_WAYS[forge].headers(body, secret, id) };
  return { path: `/webhooks/${forge === 'gitea' ? 'forgejo' : forge}`, body, headers };
}

/** How this forge describes a push. */
export function pushPayload(forge: DeliveringForge, push: ToldPush): Record<string, unknown> {
  return FORGE_WAYS[forge].payload({ ref: 'refs/heads/main', fullName: 'ada/fleet', sshUrl: '', ...push });
}
