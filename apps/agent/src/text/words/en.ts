/**
 * Every text that users of a machine read who do not administer it: in `floe-agent status` and the other commands for users, in notices
 * and on terminals. `{name}` is filled in. No store paths, no codes, and none of the words that only Floe uses. Another language is a file
 * beside this one, of the same shape, in `LANGUAGES` of `languages.ts`.
 */
export const EN = {
  /** When something happens, in a sentence. */
  at: {
    today: 'today at {clock}',
    tonight: 'tonight at {clock}',
    tomorrow: 'tomorrow at {clock}',
    yesterday: 'yesterday at {clock}',
    weekday: 'on {weekday} at {clock}',
    date: 'on {date} at {clock}',
    soon: 'soon',
  },
  /** The same behind "since" and "not before". */
  from: {
    today: 'today at {clock}',
    tonight: 'tonight at {clock}',
    tomorrow: 'tomorrow at {clock}',
    yesterday: 'yesterday at {clock}',
    weekday: '{weekday} at {clock}',
    date: '{date} at {clock}',
    soon: 'now',
  },
  /** What happens to the computer. */
  now: {
    noUpdate: 'There is no update for your computer.',
    downloads: 'Your computer downloads an update.',
    cannotDownload: 'An update cannot be downloaded now.',
    awaitsTurn: 'An update is ready. It begins when it is the turn of your computer.',
    waits: 'An update is ready, and waits.',
    updates: 'Your computer is being updated. Please leave it on.',
    checks: 'Your computer was updated, and is being checked. Please leave it on.',
    tries: 'Your computer tries an update, and goes back by itself.',
    triesUntil: 'Your computer tries an update, and goes back by itself {at}.',
    isUpToDate: 'Your computer is up to date.',
    restarts: 'Your computer restarts now, to be updated.',
    couldNotRestart: 'Your computer could not restart by itself. Please restart it, so that it is updated.',
    beginsAtRestart: 'An update begins when your computer restarts.',
    askToRestart: 'An update begins when your computer restarts. Please restart it when it suits you.',
    goesBack: 'Your computer goes back to how it was before. Please leave it on.',
    wentBack: 'An update did not work, and your computer went back to how it was before. You need to do nothing.',
    couldNotGoBack: 'An update did not work, and your computer could not go back to how it was before. Please tell its administrator.',
    cannotGoOn: 'An update cannot go on now.',
    leftOut: 'An update does not fit your computer, and was left out. You need to do nothing.',
    triesAgain: 'Your computer tries again by itself.',
  },
  /** What a user may see of a problem, or do about it. */
  trouble: {
    DISK_FULL: 'There is too little free space: please delete what you do not need.',
    BOOT_DISK_FULL: 'There is too little space for starting another version: please tell its administrator.',
    CACHE_NOT_REACHED: 'The update cannot be reached from this network: if there is a login page, please log in.',
    SWITCH_HELD: 'Your computer is being changed in another way.',
  },
  /** What goes ahead: at a time, when something has ended, or nobody knows when. */
  download: {
    at: 'An update will be downloaded {at}.',
    when: 'An update will be downloaded when {ends}.',
    later: 'An update will be downloaded later.',
    elsewhere: 'An update will be downloaded on another network, as this one may cost money. "{now}" downloads it on this one.',
  },
  switch: { at: 'Your computer will update {at}.', when: 'Your computer will update when {ends}.', later: 'Your computer will update later.' },
  restart: {
    at: 'Your computer will restart to update {at}.',
    when: 'Your computer will restart to update when {ends}.',
    later: 'Your computer will restart to update later.',
  },
  /** What must end before, behind "when". */
  ends: {
    ON_BATTERY: 'it is plugged in or charged enough',
    METERED: 'it is on a network that is not metered',
    IN_USE: 'nobody uses it',
    NO_WINDOWS: 'its administrator has set a time for that',
    programs: 'this has ended: {programs}',
    and: '{first}, and {second}',
  },
  notBefore: 'Not before {from}.',
  atTheLatest: 'It does so {at} at the latest.',
  restartsAtTheLatest: 'It restarts by itself {at} at the latest.',
  reminded: 'You are reminded {at}.',
  /** The first lines of notices. */
  title: {
    asked: 'Your administrator asks for this update now',
    download: 'There is an update',
    waiting: 'An update is ready',
    'put-off': 'The update was put off',
    restart: 'An update needs a restart',
    updated: 'Your computer was updated',
    trial: 'Your computer tries an update',
    failed: 'An update did not work',
    stuck: 'Your computer needs its administrator',
    'going-back': 'Your computer goes back',
    'went-back': 'Your computer went back',
  },
  notice: {
    begins: 'It begins.',
    canGoBack: 'If something does not work any more, you can go back.',
    isBack: 'Your computer is as it was before the update. It stays so until a newer update comes.',
    trialIsOver: 'Your computer is as it was before it tried the update.',
    asker: '({by}: {reason})',
  },
  /** Buttons. */
  button: { later: 'Later', now: 'Now', download: 'Download here', rollback: 'Go back', no: 'Cancel' },
  /** Asked before a button does what it says. */
  question: {
    now: 'Begin now?',
    nowBody: 'Please save what you work on. Click here to begin.',
    download: 'Download it here?',
    downloadBody: 'This network may cost money. Click here to download.',
    rollback: 'Go back?',
    rollbackBody: 'Your computer will be as it was before the update, until a newer update comes. Your files stay. Click here to go back.',
  },
  /** Said after a button. */
  done: {
    now: 'It begins now.',
    download: 'Your computer downloads the update now.',
    refused: 'That was not possible.',
  },
  /** Why it is not done what a user asks for, by code. */
  refused: {
    NOTHING_WAITS: 'No update waits any more.',
    TOO_LATE: 'It is too late for that: the update has begun, or is over.',
    ADMINISTRATOR_ASKS: 'The update cannot be put off: your administrator asks for it now.',
    LATER_NOT_OFFERED: 'Updates of this computer cannot be put off.',
    LATER_USED_UP: 'The update cannot be put off any more.',
    LATER_PAST_DEADLINE: 'The update cannot be put off any more: it has waited as long as it may.',
    BUSY: 'Your computer is being changed now. Please wait until that has ended.',
    NO_PREVIOUS_SYSTEM: 'There is nothing to go back to.',
    ALREADY_BACK: 'Your computer went back already.',
    PREVIOUS_SYSTEM_GONE: 'What was there before the update is not on this computer any more.',
    NOT_OVERRIDDEN: 'Your computer takes its updates already.',
    NOTHING_DESIRED: 'There is no update that your computer could take.',
    AGENT_NOT_RUNNING: 'The updates of this computer are stopped (sudo systemctl start floe-agent).',
    NO_ANSWER: 'There was no answer. Please try again.',
    NOT_ALLOWED: 'Only root may do that on this computer: use sudo.',
    NOT_IN_GROUP:
      'Only root and the group {group} may do that on this computer: use sudo, or ask your administrator to add you to the group {group} (then log in again).',
  },
  /** `floe-agent status` */
  status: {
    asked: 'Your administrator asks for it now ({by}: {reason}).',
    chosen: 'Somebody chose another version {at}.',
    wentBack: 'Somebody had this computer go back to an earlier version {at}.',
    byHand: 'Somebody changed this computer by hand {at}.',
    atStart: 'Somebody chose another version when this computer started {at}.',
    staysSo: 'It stays so until "floe-agent resume", or a newer update.',
    noLater: 'It cannot be put off any more.',
    laterOnce: 'To put it off: floe-agent later (once more).',
    later: 'To put it off: floe-agent later ({count} times more).',
    now: 'To begin at once: floe-agent now.',
    download: 'To download it here: floe-agent now.',
    rollback: 'To go back at once: floe-agent rollback.',
    connected: 'It is connected to its server.',
    connectedSince: 'It is connected to its server (since {from}).',
    away: 'It is not connected to its server.',
    awaySince: 'It is not connected to its server (since {from}).',
    elsewhere: 'This network does not lead there: if it has a login page, please log in.',
    shutOut: 'It gets no updates until an administrator helps ({code}).',
    more: 'floe-agent status --verbose shows the details.',
    stopped: 'The updates of this computer are stopped (sudo systemctl start floe-agent). Its last state: {words}',
  },
  /** What the other commands answer. */
  answer: {
    later: 'The update waits until {from}.',
    laterLess: 'The update waits until {from}, the longest that is allowed now.',
    leftNone: 'It cannot be put off again.',
    leftOnce: 'It can be put off once more.',
    left: 'It can be put off {count} times more.',
    now: 'It begins. "floe-agent status" shows how it goes.',
    askRollback: 'Go back to how this computer was before the last update, and stay there until a newer update comes or "floe-agent resume" is run?',
    nothingChanged: 'Nothing was changed.',
    rollback: 'Your computer goes back. "floe-agent status" shows how it goes; "floe-agent resume" takes the update again.',
    resume: 'Your computer takes its updates again.',
  },
  /** `floe-agent changes` */
  changes: {
    next: 'What the update would change',
    last: 'What the last update changed',
    between: 'What differs between two versions of this computer',
    from: 'from',
    to: 'to',
    noVersion: '(no version)',
    added: 'added {versions}',
    removed: 'removed {versions}',
    countChanged: '{count} changed',
    countAdded: '{count} added',
    countRemoved: '{count} removed',
    countRebuilt: '{count} rebuilt in the same version',
    same: 'the same programs',
    sum: '{counts}. {before} → {after} ({delta})',
  },
};

/** The texts of one language: {@link EN} says which there are. */
export type Words = Texts<typeof EN>;
type Texts<T> = { readonly [K in keyof T]: T[K] extends string ? string : Texts<T[K]> };
