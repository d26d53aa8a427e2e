import type { Server } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';

/** What is used of the package, which has no types. */
interface S3rver {
  readonly httpServer: Server;
  run(): Promise<AddressInfo>;
  close(): Promise<void>;
}
interface S3rverOptions {
  readonly address: string;
  readonly port: number;
  readonly silent: boolean;
  readonly directory: string;
  readonly configureBuckets: readonly { readonly name: string; readonly configs: readonly string[] }[];
}
const require = createRequire(import.meta.url);
const S3rver = require('@20minutes/s3rver') as new (options: S3rverOptions) => S3rver;

/** A real server of S3's protocol, which checks signatures, with one bucket that everybody may read. */
export interface S3Server extends AsyncDisposable {
  /** The bucket as hosts read it: http://127.0.0.1:PORT/BUCKET. */
  readonly url: string;
  /** As a Nix store URL. */
  readonly storeUrl: string;
  /** A file as ~/.aws/credentials. */
  readonly credentials: string;
}

const BUCKET = 'fleet-cache';

/** Its files are in `dir`. */
export async function startS3Server(dir: string): Promise<S3Server> {
  const server = new S3rver({ address: '127.0.0.1', port: 0, silent: true, directory: dir, configureBuckets: [{ name: BUCKET, configs: [] }] });
  const { port } = await server.run();
  return {
    url: `http://127.0.0.1:${port}/${BUCKET}`,
    storeUrl: `s3://${BUCKET}?endpoint=127.0.0.1:${port}&scheme=http&region=us-east-1`,
    credentials: '[default]\naws_access_key_id = S3RVER\naws_secret_access_key = S3RVER\n',
    async [Symbol.asyncDispose]() {
      server.httpServer.closeAllConnections();
      await server.close();
    },
  };
}
