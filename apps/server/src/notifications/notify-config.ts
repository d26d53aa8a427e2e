import { MAX_TARGETS, NOTIFICATION_KINDS, TARGET_NAME_FORM, TARGET_NAME_RULE, type NotificationKind } from '@floe/model';
import { TARGET_KINDS, type TargetAddress } from '@floe/notify';
import { withoutTrailingSlashes, type SecretSource } from '@floe/runtime';
import { Address, Path, readSettingsFile, type SettingsReader } from '@floe/pipeline';
import * as v from 'valibot';

/** A target of notifications, as the administrator configured it. */
export interface NotifyTarget {
  readonly name: string;
  readonly address: TargetAddress;
  /** What it is told of. */
  readonly events: readonly NotificationKind[];
}

const MAX_RECIPIENTS = 20;

/** What goes into a header is one address, with a name in plain letters before it at most. */
const MAIL_FORM = /^(?:[\p{L}\p{N}.' -]{1,64} )?<?[\w.+%-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?>?$/u;
const Mail = v.pipe(v.string(), v.maxLength(400), v.regex(MAIL_FORM, 'an address, such as ops@example.org'));
const common = {
  name: v.pipe(v.string(), v.regex(TARGET_NAME_FORM, TARGET_NAME_RULE)),
  events: v.optional(
    // None: it is told what the fleet's policy names it for.
    v.array(v.picklist(NOTIFICATION_KINDS, `one of ${NOTIFICATION_KINDS.join(', ')}`)),
    [...NOTIFICATION_KINDS],
  ),
};
const Target = v.variant(
  'kind',
  [
    v.strictObject({ ...common, kind: v.literal('webhook'), url: Address, secretFile: Path }),
    v.strictObject({ ...common, kind: v.literal('slack'), urlFile: Path }),
    v.strictObject({
      ...common,
      kind: v.literal('matrix'),
      homeserver: Address,
      room: v.pipe(v.string(), v.maxLength(255), v.regex(/^![\x21-\x7E]+$/, "the room's id, which begins with !")),
      tokenFile: Path,
    }),
    v.strictObject({
      ...common,
      kind: v.literal('email'),
      host: v.pipe(v.string(), v.regex(/^[A-Za-z0-9:.-]{1,253}$/, 'the name of a mail server')),
      port: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535))),
      security: v.optional(v.picklist(['tls', 'starttls', 'none'], 'tls, starttls or none'), 'starttls'),
      from: Mail,
      to: v.pipe(v.array(Mail), v.minLength(1), v.maxLength(MAX_RECIPIENTS, `at most ${MAX_RECIPIENTS}`)),
      user: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(320))),
      passwordFile: v.optional(Path),
    }),
  ],
  `kind: one of ${TARGET_KINDS.join(', ')}`,
);
type Target = v.InferOutput<typeof Target>;
const File = v.strictObject({ targets: v.pipe(v.array(Target), v.maxLength(MAX_TARGETS, `at most ${MAX_TARGETS}`)) });

const DEFAULT_PORTS = { tls: 465, starttls: 587, none: 25 } as const;

/** The targets in the file of `setting`. Every problem goes to `read.problem`; a target with one is left out. */
export function parseNotifyTargets(setting: string, text: string, read: Pick<SettingsReader, 'problem' | 'secretSource'>): readonly NotifyTarget[] {
  const targets = readSettingsFile(setting, text, File, read)?.targets ?? [];
  const names = targets.map(({ name }) => name);
  for (const name of new Set(names.filter((each, index) => names.indexOf(each) !== index))) read.problem(`${setting}: two targets are named ${name}`);
  return targets.flatMap((target) => {
    const address = addressOf(setting, target, read);
    return address === undefined ? [] : [{ name: target.name, address, events: [...new Set(target.events)] }];
  });
}

function addressOf(setting: string, target: Target, read: Pick<SettingsReader, 'problem' | 'secretSource'>): TargetAddress | undefined {
  const { name } = target;
  const secretAt = (key: string, path: string): SecretSource | undefined => read.secretSource(`${setting}: ${key} of ${name}`, path);
  switch (target.kind) {
    case 'webhook': {
      const secret = secretAt('secretFile', target.secretFile);
      return secret === undefined ? undefined : { kind: 'webhook', url: target.url, secret };
    }
    case 'slack': {
      const url = secretAt('urlFile', target.urlFile);
      return url === undefined ? undefined : { kind: 'slack', url };
    }
    case 'matrix': {
      const token = secretAt('tokenFile', target.tokenFile);
      return token === undefined ? undefined : { kind: 'matrix', homeserver: withoutTrailingSlashes(target.homeserver), room: target.room, token };
    }
    case 'email': {
      const { host, security, from, to, user, passwordFile } = target;
      if ((user === undefined) !== (passwordFile === undefined)) {
        read.problem(`${setting}: ${name}: set user and passwordFile, or neither`);
        return undefined;
      }
      const password = passwordFile === undefined ? undefined : secretAt('passwordFile', passwordFile);
      if (user !== undefined && password === undefined) return undefined;
      const login = user === undefined || password === undefined ? undefined : { user, password };
      return { kind: 'email', host, port: target.port ?? DEFAULT_PORTS[security], security, from, to, login };
    }
  }
}

/** Where it goes, as everybody may read it: paths and queries of URLs are secrets at many services. */
export function destinationOf(address: TargetAddress): string {
  switch (address.kind) {
    case 'webhook':
      return new URL(address.url).origin;
    case 'slack':
      return 'the URL in its file';
    case 'matrix':
      return `${address.room} at ${new URL(address.homeserver).host}`;
    case 'email':
      return address.to.join(', ');
  }
}
