/** The names that foreign text (of a program, an error or a log) has in our code. */
const FOREIGN = [
  String.raw`\.(?:stderr|plainLines|buildLines|raw_msg)\b`,
  String.raw`\b(?:log|result|error|failure|cause|run|event|message|reason|err|e)\??\.(?:message|messages|text|texts|reason|description)\b`,
  String.raw`\b(?:explain|describeError|errorText)\(`,
  String.raw`\{ (?:text|message|stderr)(?:,[^}]*)? \}`,
];
/** Names of destructured foreign text: `const { stderr } = …`. */
const FOREIGN_NAMES = String.raw`(?:stderr|errorText|stderrTail|reason)`;
const SEARCHES = String.raw`(?:includes|match|matchAll|search|indexOf|startsWith|endsWith)\(`;

const IS_FOREIGN = new RegExp(FOREIGN.join('|'));
const SEARCHED_DIRECTLY = new RegExp(
  String.raw`(?:${FOREIGN.slice(0, 2).join('|')})[^;]*?\.(?:${SEARCHES}|test\(|exec\()|\.(?:test|exec)\((?:[^()]|\([^()]*\))*?(?:${FOREIGN.slice(0, 3).join('|')}|\b${FOREIGN_NAMES}\b)|\b${FOREIGN_NAMES}\??\.${SEARCHES}|\{ (?:text|message|stderr)(?:,[^}]*)? \}\) =>[^;]*?(?:\b(?:text|message|stderr)\.${SEARCHES}|\.(?:test|exec)\((?:text|message|stderr)\))`,
);

/**
 * Statements that search in foreign text, also through a variable: `const said = error.message; if (said.includes('full'))`. It
 * goes by names, so it finds the usual ways to write it; it is not a proof.
 */
export function textSearches(source: string): string[] {
  const bare = source.replaceAll(/\/\*[^]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
  const found: string[] = [];
  const names = new Set<string>();
  for (const statement of bare.split(/;|\{\n|\}\n/).map((each) => each.replaceAll(/\s+/g, ' ').trim())) {
    const named = [...names].some((name) =>
      new RegExp(
        String.raw`\b${name}\??\.(?:${SEARCHES}|some\()|\.(?:test|exec)\(${name}\b|\[[^\]]*\b${name}\b[^\]]*\]\.(?:some|find|filter)\(`,
      ).test(statement),
    );
    if (named || SEARCHED_DIRECTLY.test(statement)) found.push(statement);
    const [, name, value = ''] = /\b(?:const|let) (\w+)(?:: [^=]+)? = (.*)$/.exec(statement) ?? [];
    if (name !== undefined && IS_FOREIGN.test(value) && !/\b(?:isOk|exitCode)\b/.test(value)) names.add(name);
  }
  return found;
}
