/** `silent`: it does not even say whether it is Floe's. */
type Evaluated = 'waits' | 'broken' | 'silent' | number;
/** `collected`, `second-try`: the first try fails. */
type Built = 'no-machine' | 'no-source' | 'collected' | 'second-try' | 'ok';

/** What a commit has for a host: how it evaluates and builds. */
export interface WorldHost {
  readonly evaluates: Evaluated;
  readonly builds?: Built;
  readonly ring?: string;
  readonly timeZone?: string;
  /** Its configuration says that it is not Floe's. */
  readonly saysNo?: boolean;
  readonly system?: string;
  /** The name of its system, and of its derivation. Default: its own. */
  readonly builtAs?: string;
  readonly derivation?: string;
  /** The check that the policy of its commit names. */
  readonly check?: 'good' | 'broken';
  /** The commit itself is in its system. */
  readonly usesSelf?: boolean;
  /** The files that its evaluation imports. */
  readonly imports?: readonly string[];
}
