import {
  COMMIT_SHA_FORM,
  HOST_NAME_FORM,
  HOST_NAME_RULE,
  MAX_HOST_NAME_CHARACTERS,
  MAX_STORE_PATH_CHARACTERS,
  STORE_PATH_FORM,
  type CommitSha as CommitShaBrand,
  type HostName as HostNameBrand,
  type StorePath as StorePathBrand,
} from '@floe/model';
import * as v from 'valibot';

export const HostName = v.pipe(
  v.string(),
  v.maxLength(MAX_HOST_NAME_CHARACTERS, HOST_NAME_RULE),
  v.regex(HOST_NAME_FORM, HOST_NAME_RULE),
  v.transform((text) => text as HostNameBrand),
);
export type HostName = HostNameBrand;

export const CommitSha = v.pipe(
  v.string(),
  v.maxLength(40),
  v.regex(COMMIT_SHA_FORM, 'a commit is 40 lower-case hex digits'),
  v.transform((text) => text as CommitShaBrand),
);
export type CommitSha = CommitShaBrand;

export const StorePath = v.pipe(
  v.string(),
  v.maxLength(MAX_STORE_PATH_CHARACTERS),
  v.regex(STORE_PATH_FORM, 'a store path is /nix/store/<hash>-<name>'),
  v.transform((text) => text as StorePathBrand),
);
export type StorePath = StorePathBrand;

/** `/etc/machine-id`: 32 hex digits, one per installation. A cloned disk has the same one. */
export const MachineId = v.pipe(v.string(), v.maxLength(32), v.regex(/^[0-9a-f]{32}$/, 'a machine id is 32 hex digits'));
export type MachineId = v.InferOutput<typeof MachineId>;

/** 32 raw bytes of an Ed25519 public key, base64. */
export const PublicKey = v.pipe(v.string(), v.maxLength(44), v.regex(/^[A-Za-z0-9+/]{43}=$/, 'a public key is 32 bytes in base64'));
export type PublicKey = v.InferOutput<typeof PublicKey>;
