import type { Exec, Secret, SshFiles } from '@floe/runtime';

/** The login for SSH addresses. */
export interface SshLogin extends SshFiles {
  /** The folders in which ssh is looked for, as in PATH. */
  readonly searchPath: string | undefined;
}

/** What a mirror asks its server with. */
export interface TransportOptions {
  /** As returned by `parseRepositoryUrl`. */
  readonly url: string;
  readonly token: Secret | undefined;
  /** The name of the token's setting, for messages. */
  readonly tokenSetting: string;
  /** Undefined: the address is none of SSH. */
  readonly ssh: SshLogin | undefined;
  readonly exec: Exec;
  readonly signal: AbortSignal;
}

/** One conversation with a git server, by its protocol in version 0. Bodies are streamed; the reader limits their size. */
export interface GitTransport extends AsyncDisposable {
  /** Refs, as HTTP has them: `/info/refs?service=git-upload-pack`. */
  discover(): Promise<AsyncIterable<Uint8Array>>;
  /** Objects: `/git-upload-pack`. */
  uploadPack(body: string): Promise<AsyncIterable<Uint8Array>>;
}
