import { withoutTrailingSlashes } from '@floe/runtime';

/** Where closures are published to besides the folder: a Nix store URL, in its parts. */
export type PublishTarget =
  /** `url`: of the place in the bucket, without the query. */
  | { readonly kind: 's3'; readonly place: string; readonly url: string; readonly region: string; readonly profile: string | undefined }
  | { readonly kind: 'http'; readonly url: string; readonly host: string }
  /** `url`: as Nix takes it, without the port. */
  | { readonly kind: 'ssh'; readonly place: string; readonly url: string; readonly port: number | undefined };

export type ParsedTarget = { readonly kind: 'target'; readonly target: PublishTarget } | { readonly kind: 'problem'; readonly problem: string };

const MAX_CHARACTERS = 2048;
const DEFAULT_REGION = 'us-east-1';
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const PLAIN = /^[\w./~+=-]*$/;
const REGION = /^[a-z0-9-]{1,64}$/;
const S3_PARAMETERS: ReadonlySet<string> = new Set(['endpoint', 'region', 'scheme', 'profile']);
const SSH_PARAMETERS: ReadonlySet<string> = new Set(['remote-store', 'remote-program', 'compress', 'max-connections']);
/** A name that ssh cannot take for an option, and with which no other program is run. */
const SSH_PLACE = /^(?:[a-z_][\w.-]*@)?(?:[a-z0-9][a-z0-9.-]*|\[[0-9a-f:.]+\])$/i;

/** A setting's value, or what is wrong with it, without quoting what may be a login. */
export function parsePublishTarget(text: string): ParsedTarget {
  if (text.length > MAX_CHARACTERS || !URL.canParse(text))
    return problem('is no URL: set it to that of a Nix store, such as s3://bucket?region=eu-central-1');
  const url = new URL(text);
  if (url.password !== '' || (url.username !== '' && !url.protocol.startsWith('ssh')))
    return problem('has a login in it: take it out, and name a file with it in FLOE_PUBLISH_CREDENTIALS_FILE');
  if (url.hash !== '') return problem('has a part after #');
  switch (url.protocol) {
    case 's3:':
      return parseS3(url);
    case 'http:':
    case 'https:': {
      if (url.search !== '') return problem('has parameters: they are not known');
      return { kind: 'target', target: { kind: 'http', url: withoutTrailingSlashes(url.href), host: url.hostname } };
    }
    case 'ssh:':
    case 'ssh-ng:':
      return parseSsh(url);
    case 'file:':
      return problem('is a folder: set FLOE_CACHE_DIR to it instead');
    default:
      return problem('begins with none of s3://, http://, https://, ssh:// and ssh-ng://; for another store set FLOE_PUBLISH_COMMAND');
  }
}

function parseS3(url: URL): ParsedTarget {
  const unknown = [...url.searchParams.keys()].find((name) => !S3_PARAMETERS.has(name));
  if (unknown !== undefined) return problem(`has a parameter that is not known: of S3 there are ${[...S3_PARAMETERS].join(', ')}`);
  const [bucket, folder] = [url.hostname, withoutTrailingSlashes(url.pathname).slice(1)];
  if (!BUCKET.test(bucket) || !PLAIN.test(folder) || folder.split('/').includes('..'))
    return problem('names no bucket: s3://BUCKET or s3://BUCKET/FOLDER');
  const region = url.searchParams.get('region') ?? DEFAULT_REGION;
  const scheme = url.searchParams.get('scheme') ?? 'https';
  if (!REGION.test(region) || (scheme !== 'https' && scheme !== 'http')) return problem('has a region or a scheme that is none');
  const endpoint = url.searchParams.get('endpoint') ?? `s3.${region}.amazonaws.com`;
  const base = /^https?:\/\//.test(endpoint) ? endpoint : `${scheme}://${endpoint}`;
  if (!URL.canParse(base) || new URL(base).search !== '' || new URL(base).username !== '' || new URL(base).password !== '')
    return problem('has an endpoint that is none: endpoint=s3.example.org, or endpoint=https://s3.example.org:9000');
  const path = [bucket, ...(folder === '' ? [] : [folder])].join('/');
  const profile = url.searchParams.get('profile') ?? undefined;
  return { kind: 'target', target: { kind: 's3', place: `s3://${path}`, url: `${withoutTrailingSlashes(base)}/${path}`, region, profile } };
}

function parseSsh(url: URL): ParsedTarget {
  const unknown = [...url.searchParams.keys()].find((name) => !SSH_PARAMETERS.has(name));
  if (unknown !== undefined) return problem(`has a parameter that is not known: of SSH there are ${[...SSH_PARAMETERS].join(', ')}`);
  const user = url.username === '' ? '' : `${url.username}@`;
  const place = `${user}${url.hostname}`;
  if (!SSH_PLACE.test(place) || (url.pathname !== '' && url.pathname !== '/'))
    return problem('names no machine: ssh://USER@HOST or ssh://USER@HOST:PORT');
  const port = url.port === '' ? undefined : Number(url.port);
  return { kind: 'target', target: { kind: 'ssh', place: `${url.protocol}//${place}`, url: `${url.protocol}//${place}${url.search}`, port } };
}

function problem(text: string): ParsedTarget {
  return { kind: 'problem', problem: text };
}
