import type { MembershipRule } from '@floe/model';

/** By which rule a host is in its ring: "label role=dns". */
export function membershipWords(rule: MembershipRule): string {
  switch (rule.by) {
    case 'own':
      return 'its own configuration names the ring';
    case 'name':
      return 'the policy names it';
    case 'glob':
      return `the policy names ${rule.pattern}`;
    case 'label':
      return `label ${rule.label}`;
    case 'share':
      return `share: it is among the first ${Number(rule.percent.toFixed(2))} %`;
    case 'rest':
      return 'no rule names it';
  }
}
