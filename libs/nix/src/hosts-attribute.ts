import { nixString } from '@floe/runtime';

/** Where a flake has its hosts, if no setting says otherwise. */
export const HOSTS_ATTRIBUTE = 'nixosConfigurations';

/** Other places in which flakes have hosts, in the order in which they are proposed. */
export const OTHER_HOSTS_ATTRIBUTES = ['nixosConfigurations', 'colmenaHive.nodes', 'darwinConfigurations', 'homeConfigurations'] as const;

/** A path of plain names, such as `colmenaHive.nodes`. It becomes part of an expression. */
export const HOSTS_ATTRIBUTE_FORM = /^[A-Za-z_][A-Za-z0-9_-]{0,99}(?:\.[A-Za-z_][A-Za-z0-9_-]{0,99}){0,9}$/;

/** The path as Nix reads it behind a set, whatever its names are. */
export function attributePath(attribute: string): string {
  return attribute.split('.').map(nixString).join('.');
}
