import type { AgentJournal, AgentReport } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';
import type { Clock, Exec, Logger } from '@floe/runtime';
import type { JobDeps, JobSettings } from '../jobs/job.ts';
import { Stager } from '../ahead/stager.ts';
import { runJob } from '../jobs/run-job.ts';
import type { Machine } from '../machines/machine.ts';
import { Connection } from '../server/connection.ts';
import { ContactCheck } from '../server/contact.ts';
import type { Identity } from '../server/identity.ts';
import { ProgressSender } from '../server/progress.ts';
import { TimeQuestion } from '../server/time-question.ts';
import { isBesideRouter, readRouters } from '../server/which-network.ts';
import { WhoElse } from '../server/who-else.ts';
import type { ReportQueue } from '../state/report-queue.ts';
import type { Conditions } from '../when/conditions.ts';
import { Conversation, type ConversationSettings } from './conversation.ts';
import { Effects } from './effects.ts';
import { Inbox } from './inbox.ts';
import { JournalStore } from './journal-store.ts';
import { Loop } from './loop.ts';
import { MachineWatch } from './machine-watch.ts';
import { MissedServer } from './missed-server.ts';
import { Scheduler } from './scheduler.ts';
import { SignedReports } from './signed-reports.ts';

export interface EngineSettings extends JobSettings, ConversationSettings {
  /** Shortest wait after the server refused this agent, in ms. */
  readonly slowRetryMs: number;
}

export interface EngineDeps {
  readonly settings: EngineSettings;
  readonly identity: Identity;
  readonly machine: Machine;
  /** As it was on disk. */
  readonly journal: AgentJournal;
  readonly saveJournal: (journal: AgentJournal) => Promise<void>;
  readonly reports: ReportQueue;
  readonly conditions: Conditions;
  /** The policy of the system that runs. */
  readonly readPolicy: () => Promise<AgentPolicy>;
  readonly enrolAnew: (signal: AbortSignal) => Promise<boolean>;
  /** A token to enrol with arrived. */
  readonly hasNewToken?: () => Promise<boolean>;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  /** Where the kernel tells of routes; undefined: `/proc`. */
  readonly proc?: string | undefined;
}

/** The parts that run. Each knows those made before it, none the ones made after it. */
export interface Engine {
  readonly connection: Connection;
  readonly inbox: Inbox;
  readonly scheduler: Scheduler;
  readonly loop: Loop;
  readonly watch: MachineWatch;
  readonly stager: Stager;
  readonly conversation: Conversation;
  readonly whoElse: WhoElse;
  /** The server's clock where it is known, ms: a deadline for users must not jump with the machine's clock. */
  readonly now: () => number;
}

export function createEngine(deps: EngineDeps, stopping: AbortSignal, onBug: (error: unknown) => void): Engine {
  const { settings, machine, conditions, clock, logger, proc } = deps;
  const { serverLimitMs, contactTimeoutMs } = settings;

  const connection = new Connection({ ...deps, ...settings });
  const now = (): number => Math.round(connection.serverNow ?? clock.now());
  const contact = new ContactCheck({ ...settings, connection, isBesideRouter: async (routers) => await isBesideRouter(routers, proc), clock });
  const progress = new ProgressSender({ connection, clock });
  const timeQuestion = new TimeQuestion({ clock, logger, reconnect: () => connection.reconnect() });

  const inbox = new Inbox();
  const store = new JournalStore({ ...deps, stopping });
  const jobs: JobDeps = {
    ...deps,
    now,
    contact: async (timeoutMs, signal) => await contact.renew(timeoutMs, signal),
    whoAnswers: async (...about) => await contact.whoAnswers(...about),
    routers: async () => await readRouters(proc),
    holdDownload: async (journal) => await conditions.holdDownload(journal, now()),
    assess: async (journal, directive, signal) => await conditions.assess(journal, directive, now(), signal),
    onProgress: (epoch, done) => progress.send(epoch, done),
  };
  const stager = new Stager({
    ...deps,
    host: deps.identity.host,
    now,
    journal: () => store.current,
    holdDownload: jobs.holdDownload,
    onStaged: (toplevel) => connection.send({ type: 'staged', toplevel }),
  });
  const scheduler = new Scheduler({
    ...deps,
    now,
    onBug,
    runJob: async (job, journal, signal) => {
      if (job === 'download') await stager.yield();
      return await runJob(job, jobs, journal, signal);
    },
    mayReboot: async () => await conditions.mayReboot(store.current, now(), { isTimeKnown: connection.serverNow !== undefined }),
    sendReady: (epoch) => connection.send({ type: 'ready', epoch }),
    dispatch: (event) => inbox.dispatch(event),
    switchesOutliveAgent: machine.switchesOutliveAgent,
  });
  const effects = new Effects({ scheduler, inbox, machine, logger });
  const signedReports = new SignedReports({ identity: deps.identity, machine, connection, clock, logger, journal: () => store.current });
  const sendReport = (report: AgentReport): void => {
    connection.send({ type: 'report', ...report });
    signedReports.sent(report);
  };
  const loop = new Loop({ ...deps, store, effects, now, sendReport });

  loop.onStep(() => stager.looked());

  const missedServer = new MissedServer({
    machine,
    clock,
    limitMs: serverLimitMs,
    contact: () => contact.current,
    reach: async () => (await connection.renew(contactTimeoutMs, stopping)) === 'welcomed',
    whereabouts: async (before) => await contact.whereabouts(before, stopping),
  });
  const watch = new MachineWatch({ ...deps, loop, inbox, scheduler, connection, missedServer, now });
  const parts = { store, loop, inbox, scheduler, watch, connection, contact, timeQuestion, stager, signedReports };
  const conversation = new Conversation({ ...deps, ...parts, stopping });
  const whoElse = new WhoElse({ connection, clock, whoAnswers: jobs.whoAnswers });
  return { connection, inbox, scheduler, loop, watch, stager, conversation, whoElse, now };
}
