import type { HostName, OrderedQuarantine } from '@floe/model';
import type { Clock, Logger, Troubles } from '@floe/runtime';
import type { Fleet, PlainStore } from '@floe/store';
import { shortSha } from '@floe/views';

export interface EndedQuarantinesDeps {
  readonly store: Pick<PlainStore, 'decide'>;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
  readonly troubles: Pick<Troubles, 'each'>;
  readonly repositoryId: string;
}

interface Ended {
  readonly host: HostName | undefined;
  readonly order: OrderedQuarantine;
}

/** Lifts what people quarantined until a time that has come, as they would. One that somebody ordered again meanwhile stays. */
export async function liftEndedQuarantines({ store, clock, logger, troubles, repositoryId }: EndedQuarantinesDeps, { hosts }: Fleet): Promise<void> {
  const now = clock.now();
  const ended = new Map<string, Ended>();
  for (const { row, situation } of hosts)
    for (const order of situation.ordered?.values() ?? []) {
      if (order.until === undefined || order.until > now) continue;
      const host = order.isOfAll ? undefined : row.host;
      ended.set(`${host ?? '*'} ${order.commit}`, { host, order });
    }
  await troubles.each(
    'lifting its quarantine',
    [...ended.values()],
    ({ host }) => host ?? 'server: quarantines',
    async ({ host, order: { commit, by } }) => {
      const isLifted = await store.decide(async (decisions) => {
        const result = await decisions.hosts.liftQuarantine({ repositoryId, host, commit, endedBy: now });
        const detail = `lifted, of ${shortSha(commit)}: its end has come, which ${by} set`;
        return { result, entries: result ? [{ at: now, actor: 'floe', action: 'quarantine', subject: host ?? commit, detail }] : [] };
      });
      if (isLifted) logger.info('the end of a quarantine has come', { host, commit });
    },
  );
}
