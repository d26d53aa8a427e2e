import { reveal, type SecretSource } from '@floe/runtime';
import { AwsV4Signer } from 'aws4fetch';
import type { Authorize } from '../remote-cache/http-files.ts';

/** What a file of AWS's tools has of one profile. */
interface Login {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
}

const PROFILE = 'default';

/** What is wrong with a credentials file; undefined: nothing. */
export function s3LoginProblem(text: string, profile: string | undefined): string | undefined {
  const name = profile ?? PROFILE;
  return readLogin(text, name) === undefined
    ? `has no aws_access_key_id and aws_secret_access_key in [${name}]: write it as ~/.aws/credentials`
    : undefined;
}

/** Signs requests to S3, and to what speaks as it does. The bytes of files are not signed; TLS keeps them whole. */
export function s3Authorize(
  credentials: SecretSource,
  { region, profile }: { readonly region: string; readonly profile: string | undefined },
): Authorize {
  return async (method, url) => {
    const login = readLogin(await reveal(credentials), profile ?? PROFILE);
    if (login === undefined) return {};
    const { accessKeyId, secretAccessKey, sessionToken } = login;
    const signer = new AwsV4Signer({
      method,
      url: url.href,
      accessKeyId,
      secretAccessKey,
      ...(sessionToken === undefined ? {} : { sessionToken }),
      service: 's3',
      region,
    });
    return Object.fromEntries((await signer.sign()).headers.entries());
  };
}

function readLogin(text: string, profile: string): Login | undefined {
  const values = new Map<string, string>();
  let section = PROFILE;
  for (const line of text.split('\n')) {
    const [, header] = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line) ?? [];
    if (header !== undefined) section = header;
    const [, name, value] = /^\s*(aws_\w+)\s*=\s*(\S+)\s*$/.exec(line) ?? [];
    if (section === profile && name !== undefined && value !== undefined) values.set(name, value);
  }
  const [accessKeyId, secretAccessKey] = [values.get('aws_access_key_id'), values.get('aws_secret_access_key')];
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, sessionToken: values.get('aws_session_token') };
}
