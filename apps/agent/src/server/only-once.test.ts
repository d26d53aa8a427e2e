import { decide, type AgentJournal } from '@floe/model';
import { Directive, peek, seal, type Envelope } from '@floe/protocol';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { directiveContext, journalWith, newAuthorities, newSigner, NOW, REF, REPOSITORY, sealDirective, type SealOptions } from '../test/fixtures.ts';
import { judgeDirective, type DirectiveContext, type DirectiveJudgement } from './judge-directive.ts';

const keys = newAuthorities();
const TRIAL: SealOptions['release'] = { purpose: 'test', issuedAt: NOW, endsAt: NOW + 3600_000 };
const SUBMITTED: SealOptions['release'] = { purpose: 'submitted', sequence: 9 };
const BEFORE = journalWith({ epoch: 2, sequences: [{ repository: REPOSITORY, ref: REF, sequence: 9 }] });

/** A machine that tries systems, and what its disk had at some time. */
class Machine {
  journal: AgentJournal = BEFORE;
  readonly #backups: AgentJournal[] = [];
  #boots = 1;
  #connections = 0;

  get bootId(): string {
    return `boot-${this.#boots}`;
  }

  /** What the server that it reaches says is new about the connection: also what was said before. */
  nextNonce(): string {
    this.#connections += 1;
    return `nonce-${this.#connections}`;
  }

  take(envelope: Envelope, nonce: string): DirectiveJudgement {
    const trials: Partial<DirectiveContext> = { trials: 'allowed', bootId: this.bootId, uptimeMs: 1 };
    const judgement = judgeDirective(envelope, directiveContext(keys, { ...trials, nonce, serverNow: NOW, journal: this.journal }));
    if (judgement.kind === 'accepted') this.journal = decide(this.journal, { type: 'offered', ...judgement }, NOW).journal;
    return judgement;
  }

  backUp(): void {
    this.#backups.push(this.journal);
  }

  restart(): void {
    this.#boots += 1;
  }

  /** Its disk is restored, and it starts. */
  restore(which: number): void {
    this.journal = this.#backups[which % Math.max(1, this.#backups.length)] ?? this.journal;
    this.restart();
  }
}

/** What the thief of the server key heard. */
interface Heard {
  readonly directive: Directive;
  uses: number;
}

function directiveIn(envelope: Envelope): Directive {
  const opened = peek(envelope, Directive);
  if (opened.kind !== 'opened') throw new Error(opened.message);
  return opened.statement;
}

const action = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom('trial' as const, 'permit' as const, 'submitted' as const) }) },
  // In any order, as it was, with another number, on a connection whose nonce comes again or is new, in this start's name.
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('replay' as const),
      which: fc.nat(5),
      ahead: fc.constantFrom(undefined, 1, 2, 1_000),
      isNonceNew: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('back-up' as const, 'restart' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restore' as const), which: fc.nat(3) }) },
);

test('with the server key alone, no trial, no permit and no submitted system that was heard is used again: after other orders, a restart, a journal that was restored', () => {
  let replays = 0;
  fc.assert(
    fc.property(fc.array(action, { minLength: 3, maxLength: 30 }), (actions) => {
      const machine = new Machine();
      const heard: Heard[] = [];
      for (const each of actions) {
        if (each.kind === 'trial' || each.kind === 'permit' || each.kind === 'submitted') {
          // The server tells it once per connection, and the thief reads along.
          const nonce = machine.nextNonce();
          const what: SealOptions = each.kind === 'permit' ? { permit: { nonce } } : { release: each.kind === 'trial' ? TRIAL : SUBMITTED };
          const envelope = sealDirective(keys, {
            ...what,
            directive: { nonce, epoch: machine.journal.epoch + 1 },
            onlyFor: { bootId: machine.bootId },
          });
          expect(machine.take(envelope, nonce)).toMatchObject({ kind: 'accepted' });
          heard.push({ directive: directiveIn(envelope), uses: 1 });
        } else if (each.kind === 'replay') {
          const said = heard[each.which % Math.max(1, heard.length)];
          if (said === undefined) continue;
          const nonce = each.isNonceNew ? machine.nextNonce() : said.directive.nonce;
          const epoch = each.ahead === undefined ? said.directive.epoch : machine.journal.epoch + each.ahead;
          const envelope = seal(keys.server, 'floe/directive', { ...said.directive, nonce, epoch });
          if (machine.take(envelope, nonce).kind === 'accepted') said.uses += 1;
          replays += 1;
          expect(said.uses).toBe(1);
        } else if (each.kind === 'restore') machine.restore(each.which);
        else if (each.kind === 'restart') machine.restart();
        else machine.backUp();
      }
    }),
    { numRuns: 150 },
  );
  expect(replays).toBeGreaterThan(300);
});

test.each<[string, SealOptions]>([
  ['for another number', { onlyFor: { epoch: 4 } }],
  ['for another start of the machine', { onlyFor: { bootId: 'boot-before' } }],
  ['for another machine', { onlyFor: { machineId: 'b'.repeat(32) } }],
])('neither a trial nor a permit nor a submitted system is taken that was signed %s', (_what, options) => {
  const context = directiveContext(keys, { trials: 'allowed', serverNow: NOW, journal: BEFORE, ref: REF });
  const code = (seals: SealOptions): string => {
    const judged = judgeDirective(sealDirective(keys, seals), context);
    return judged.kind === 'refused' ? judged.detail.code : judged.kind;
  };
  expect(code({ ...options, release: TRIAL })).toBe('TRIAL_REPLAYED');
  expect(code({ ...options, permit: {} })).toBe('PERMIT_REPLAYED');
  expect(code({ ...options, release: SUBMITTED })).toBe('SUBMITTED_REPLAYED');
  // As it lies in the database and in the statement log.
  expect(code({ release: { ...SUBMITTED, onlyFor: undefined } })).toBe('SUBMITTED_REPLAYED');
  expect(code({ release: { ...SUBMITTED, endsAt: NOW + 1_000 } })).toBe('RELEASE_MALFORMED');
  expect(code({ release: SUBMITTED, signers: { release: newSigner(keys.release.keyId) } })).toBe('RELEASE_SIGNATURE_WRONG');
  expect(code({ release: { ...SUBMITTED, ref: 'refs/heads/other' } })).toBe('RELEASE_WRONG_REF');
  expect(code({ release: { ...SUBMITTED, sequence: 8 } })).toBe('SEQUENCE_LOWER');
  expect(code({ release: SUBMITTED })).toBe('accepted');
  // As a server from before this signs them, whose words do not end.
  expect(code({ release: { ...TRIAL, onlyFor: undefined } })).toBe('TRIAL_REPLAYED');
  expect(code({ permit: { onlyFor: undefined } })).toBe('PERMIT_REPLAYED');
  // Who has the server key alone cannot say for what it was signed.
  expect(code({ release: TRIAL, signers: { release: newSigner(keys.release.keyId) } })).toBe('RELEASE_SIGNATURE_WRONG');
  expect(code({ release: TRIAL })).toBe('accepted');
  expect(code({ permit: {} })).toBe('accepted');
});
