import { MAX_LABEL_CHARACTERS } from '@floe/model';
import { capitalised, decisionCommand, decisionKey, decisionWords, mayEnd, needsLabel, withEnd, withLabel, type Decision } from '@floe/views';
import { useSignal } from '@preact/signals';
import { useId, useRef } from 'preact/hooks';
import type { Dashboard } from '../dashboard.ts';

/** As long as the server takes a reason. */
const MAX_REASON = 500;

export interface DecisionButtonProps {
  readonly dashboard: Dashboard;
  readonly decision: Decision;
}

/** A decision: its button, and a dialog that says what comes of it and asks why. */
export function DecisionButton({ dashboard, decision }: DecisionButtonProps) {
  // The page goes on while somebody writes: what is sent is what they were asked, not what is there by then.
  const asked = useSignal(decision);
  const { verb, isFinal } = decisionWords(decision);
  const { question, effect, verb: askedVerb } = decisionWords(asked.value);
  const dialog = useRef<HTMLDialogElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const label = useRef<HTMLInputElement>(null);
  const end = useRef<HTMLInputElement>(null);
  const id = useId();
  const isBusy = useSignal(false);
  const message = useSignal('');
  const answered = useSignal('');

  async function submit(event: Event): Promise<void> {
    event.preventDefault();
    const reason = field.current?.value.trim() ?? '';
    if (reason === '') {
      message.value = 'Say why in a few words.';
      field.current?.focus();
      return;
    }
    const named = label.current?.value.trim() ?? '';
    if (needsLabel(asked.value) && named === '') {
      message.value = 'Say which label.';
      label.current?.focus();
      return;
    }
    isBusy.value = true;
    message.value = '';
    // The browser gives a time of the machine's own time zone.
    const until = Date.parse(end.current?.value ?? '');
    const wanted = withEnd(withLabel(asked.value, named), Number.isNaN(until) ? undefined : until);
    const answer = await dashboard.decide(wanted, reason);
    isBusy.value = false;
    if (answer.kind === 'ok') {
      answered.value = capitalised(answer.value ?? '');
      dialog.current?.close();
    } else message.value = answer.message;
  }

  function open(): void {
    asked.value = decision;
    message.value = '';
    answered.value = '';
    if (field.current !== null) field.current.value = '';
    if (label.current !== null) label.current.value = '';
    if (end.current !== null) end.current.value = '';
    dialog.current?.showModal();
  }

  return (
    <>
      <button type="button" class={isFinal ? 'final' : undefined} onClick={open}>
        {verb} …
      </button>
      {answered.value !== '' && <p class="answered">{answered}</p>}
      <dialog ref={dialog} aria-labelledby={`${id}-title`} aria-describedby={`${id}-effect`}>
        <form onSubmit={(event) => void submit(event)}>
          <p class="question" id={`${id}-title`}>
            {question}
          </p>
          <p id={`${id}-effect`}>{effect}</p>
          {needsLabel(asked.value) && (
            <>
              <label for={`${id}-label`}>Label of the hosts, such as role=dns</label>
              <input
                ref={label}
                id={`${id}-label`}
                maxLength={MAX_LABEL_CHARACTERS}
                autocomplete="off"
                spellcheck={false}
                aria-describedby={`${id}-message`}
              />
            </>
          )}
          <label for={`${id}-reason`}>Reason, kept in the audit log</label>
          <input
            ref={field}
            id={`${id}-reason`}
            maxLength={MAX_REASON}
            autocomplete="off"
            aria-invalid={message.value !== ''}
            aria-describedby={`${id}-message`}
          />
          {mayEnd(asked.value) && (
            <>
              <label for={`${id}-end`}>Ends by itself at (empty: never)</label>
              <input ref={end} id={`${id}-end`} type="datetime-local" />
            </>
          )}
          <p id={`${id}-message`} class="message" role="alert">
            {message}
          </p>
          <p class="choices">
            <button type="button" onClick={() => dialog.current?.close()}>
              Cancel
            </button>
            <button type="submit" class={`primary${isFinal ? ' final' : ''}`} disabled={isBusy.value}>
              {isBusy.value ? 'One moment …' : askedVerb}
            </button>
          </p>
        </form>
      </dialog>
    </>
  );
}

/** All decisions that are possible now, beside one another: those that the role of who is signed in allows. */
export function DecisionButtons({ dashboard, decisions }: { readonly dashboard: Dashboard; readonly decisions: readonly Decision[] }) {
  const allowed = decisions.filter((decision) => dashboard.mayDecide(decision));
  if (allowed.length === 0) return null;
  return (
    <div class="decisions">
      {allowed.map((decision) => (
        <DecisionButton key={decisionKey(decision)} dashboard={dashboard} decision={decision} />
      ))}
    </div>
  );
}

/** The same, each with the command that does it. */
export function DecisionsWithCommands({ dashboard, decisions }: { readonly dashboard: Dashboard; readonly decisions: readonly Decision[] }) {
  const allowed = decisions.filter((decision) => dashboard.mayDecide(decision));
  if (allowed.length === 0) return null;
  return (
    <ul class="decisions-list" aria-label="What you can do">
      {allowed.map((decision) => (
        <li key={decisionKey(decision)}>
          <DecisionButton dashboard={dashboard} decision={decision} />
          <code>{decisionCommand(decision)}</code>
        </li>
      ))}
    </ul>
  );
}
