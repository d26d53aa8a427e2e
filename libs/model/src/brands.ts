declare const brand: unique symbol;
/** A string whose form was checked; made only by the schema of the same name in libs/protocol. */
export type Brand<Name extends string> = string & { readonly [brand]: Name };

/** A machine's name as in `nixosConfigurations.<host>`. */
export type HostName = Brand<'HostName'>;
/** A full commit id: 40 lower-case hex digits. */
export type CommitSha = Brand<'CommitSha'>;
/** `/nix/store/<hash>-<name>`, nothing below it. */
export type StorePath = Brand<'StorePath'>;
