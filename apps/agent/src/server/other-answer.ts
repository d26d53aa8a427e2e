import { oneLine } from '@floe/model';

/** Of TLS: the certificate is another host's than the one that was asked. */
const OTHER_HOST = 'ERR_TLS_CERT_ALTNAME_INVALID';
/** Errors of TLS by which another host answers than the one that was asked, or a private authority is not known here. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
]);
/** Errors of TLS by which this machine's clock may be wrong. */
const OTHER_TIME: ReadonlySet<string> = new Set(['CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED']);
/** Of TLS, in the words of OpenSSL, where the code does not say it: what answers is not encrypted. */
const NO_TLS = 'wrong version number';
/** Codes, or names of errors without one, by which somebody answers in no HTTP, or without TLS. */
const NOT_AS_ASKED = /^(?:HPE_\w+|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|ERR_SSL_WRONG_VERSION_NUMBER|HTTPParserError)$/;
/** What a name server tells of names that it hides: no machine has it, and this one refuses. */
const NOBODYS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);
const MAX_HOST_CHARACTERS = 100;

/** Who an answer with this status seems to be from, when it is not from whom was asked. `location`: of a redirect. */
export function describeStatus(status: number, location?: string | null): string {
  if (status >= 300 && status < 400) return `a captive portal or a proxy answered: a redirect${hostOf(location)} (status ${status})`;
  if (status >= 200 && status < 300) return `a captive portal or a proxy answered: a page of its own (status ${status})`;
  if (status === 407 || status === 511) return `a captive portal or a proxy answered: it asks for a login (status ${status})`;
  if (status === 502 || status === 504) return `a proxy answered, which does not get through (status ${status})`;
  return `something answered with status ${status}`;
}

/** The same of a failed connection; undefined: nobody answered, or it is not known who. */
export function describeStranger(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (isHidden(cause)) return 'the name server of this network hides it: it gives an address that no machine has';
    if (code === OTHER_HOST) return `another host answered, a captive portal or by a wrong name (${code})`;
    if (code !== undefined && UNTRUSTED.has(code))
      return `a captive portal answered, or this machine does not trust the server's authority (${code})`;
    if (code !== undefined && OTHER_TIME.has(code))
      return `its certificate is not valid now: it has expired, or this machine's clock is wrong (${code})`;
    const form = code ?? cause.name;
    if (NOT_AS_ASKED.test(form) || (code === 'EPROTO' && cause.message.includes(NO_TLS)))
      return `something answered that does not speak as it was asked (${form})`;
    // Of ws, and of Node where it goes through a proxy.
    const status = /^(?:Unexpected server response: |Proxy response \()(\d{3})\b/.exec(cause.message)?.[1];
    if (status !== undefined) return describeStatus(Number(status));
  }
  return undefined;
}

/** All addresses that were tried are nobody's. */
function isHidden(error: Error): boolean {
  const tries: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
  return tries.length > 0 && tries.every((each) => each instanceof Error && 'address' in each && NOBODYS.has(String(each.address)));
}

function hostOf(location: string | null | undefined): string {
  const host = location == null || !URL.canParse(location) ? '' : oneLine(new URL(location).host);
  return host === '' || host.length > MAX_HOST_CHARACTERS ? '' : ` to ${host}`;
}
