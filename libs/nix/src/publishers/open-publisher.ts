import { systemClock, type Clock, type Exec, type Logger, type SecretSource } from '@floe/runtime';
import type { Nix } from '../nix.ts';
import { createNix } from '../nix.ts';
import { FolderFiles } from '../remote-cache/cache-files.ts';
import { HttpFiles, type Authorize } from '../remote-cache/http-files.ts';
import { commandPublisher, type PublishCommand } from './command-publisher.ts';
import { netrcAuthorize } from './netrc-login.ts';
import type { PublishTarget } from './publish-target.ts';
import type { Publisher } from './publisher.ts';
import { s3Authorize } from './s3-login.ts';
import { upload } from './upload.ts';

/** What publishes besides the folder, by the settings. */
export type PublishMethod =
  | { readonly kind: 'command'; readonly command: PublishCommand }
  | {
      readonly kind: 'store';
      readonly target: PublishTarget;
      /** For S3 and HTTP. */
      readonly credentials: SecretSource | undefined;
      /** For SSH: the private key. */
      readonly keyFile: string | undefined;
      readonly knownHostsFile: string | undefined;
      readonly timeoutMs: number;
    };

export interface PublisherDeps {
  readonly nix: Pick<Nix, 'publish'>;
  readonly exec: Exec;
  readonly logger: Logger;
  /** What Nix, ssh and commands are run with. */
  readonly env: NodeJS.ProcessEnv;
  readonly clock?: Pick<Clock, 'sleep'> | undefined;
  /** The cache's own folder: here closures are signed, and from here they go elsewhere. */
  readonly folder: { readonly dir: string; readonly secretKeyFile: string; readonly publicKey: string };
}

/** More paths than a fleet has; above it they are asked for again. */
const MAX_SEEN = 200_000;
const REFUSED =
  'replace the file of FLOE_PUBLISH_CREDENTIALS_FILE (publish.credentialsFile) by a login that may read and write there; on NixOS restart the service then';

/** The publisher of the settings. `method` undefined: the folder alone. */
export function openPublisher(method: PublishMethod | undefined, deps: PublisherDeps): Publisher {
  const { nix, folder } = deps;
  const toFolder: Publisher = {
    async publish(paths, { signal, onProgress }) {
      onProgress?.(`signs ${paths.length} closures, and copies them to ${folder.dir}`);
      await nix.publish(paths, { cacheUrl: `file://${folder.dir}`, secretKeyFile: folder.secretKeyFile, signal });
    },
    forget: () => undefined,
  };
  if (method === undefined) return toFolder;
  if (method.kind === 'command') return commandPublisher(method.command, deps);
  const further =
    method.target.kind === 'ssh' ? sshPublisher({ ...method, target: method.target }, deps) : uploader({ ...method, target: method.target }, deps);
  return {
    async publish(paths, options) {
      await toFolder.publish(paths, options);
      await further.publish(paths, options);
    },
    forget: () => further.forget(),
  };
}

type Method<Kind extends PublishTarget['kind']> = Omit<Extract<PublishMethod, { kind: 'store' }>, 'target'> & {
  readonly target: Extract<PublishTarget, { kind: Kind }>;
};

function uploader({ target, credentials }: Method<'s3' | 'http'>, { folder, clock = systemClock }: PublisherDeps): Publisher {
  const seen = new Set<string>();
  return {
    async publish(paths, { signal, onProgress }) {
      if (seen.size > MAX_SEEN) seen.clear();
      const place = target.kind === 's3' ? target.place : target.url;
      const options = { url: target.url, place, authorize: authorizeOf(target, credentials), adviceOnRefusal: REFUSED, clock, signal };
      await upload(new FolderFiles(folder.dir), new HttpFiles(options), paths, { publicKeys: [folder.publicKey], signal, seen, onProgress });
    },
    forget: () => seen.clear(),
  };
}

function authorizeOf(target: Method<'s3' | 'http'>['target'], credentials: SecretSource | undefined): Authorize | undefined {
  if (credentials === undefined) return undefined;
  return target.kind === 's3' ? s3Authorize(credentials, target) : netrcAuthorize(credentials);
}

/** Nix copies the signed closures from the folder, so that the user there need be trusted no more than their signatures. */
function sshPublisher({ target, keyFile, knownHostsFile, timeoutMs }: Method<'ssh'>, { exec, logger, env, folder }: PublisherDeps): Publisher {
  const settings = [
    'BatchMode=yes',
    'StrictHostKeyChecking=yes',
    'ConnectTimeout=10',
    'ServerAliveInterval=15',
    'ServerAliveCountMax=3',
    ...(keyFile === undefined ? [] : [`IdentityFile=${keyFile}`, 'IdentitiesOnly=yes']),
    ...(knownHostsFile === undefined ? [] : [`UserKnownHostsFile=${knownHostsFile}`, 'GlobalKnownHostsFile=/dev/null']),
    ...(target.port === undefined ? [] : [`Port=${target.port}`]),
  ];
  const options = ['-F', '/dev/null', ...settings.flatMap((each) => ['-o', each])];
  const nix = createNix({ exec, logger, env: { ...env, NIX_SSHOPTS: options.join(' ') } });
  return {
    async publish(paths, { signal, onProgress }) {
      onProgress?.(`copies ${paths.length} closures to ${target.place}`);
      await nix.mirror(paths, { from: `file://${folder.dir}`, to: target.url, signal, timeoutMs });
    },
    // Nix asks the machine there each time.
    forget: () => undefined,
  };
}
