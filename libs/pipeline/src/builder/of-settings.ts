import type { PlainStore } from '@floe/store';

/**
 * The store, in which a repository has the address and the branch that this process follows, whatever the database says by now: what is signed is of
 * these.
 */
export function ofSettings(store: PlainStore, { url, branch }: { readonly url: string; readonly branch: string }): PlainStore {
  const { repositories } = store;
  return {
    ...store,
    underLease: (lease) => ofSettings(store.underLease(lease), { url, branch }),
    repositories: { ...repositories, get: async (id) => ({ ...(await repositories.get(id)), url, branch, ref: `refs/heads/${branch}` }) },
  };
}
