/**
 * What filters may say of a row of which not everything is known yet: a set of answers. Sets are joined as
 * `select/evaluate.ts` joins answers, for every choice of one answer from each.
 */
import { type Answer, DROP, KEEP, UNJUDGED } from '../../select/types.ts';

/** Bits: 1 for keep, 2 for drop, 4 for unjudged. */
export type Verdicts = number;

const BIT = { [DROP]: 2, [KEEP]: 1, [UNJUDGED]: 4 } as const;
export const SURELY_KEPT: Verdicts = BIT[KEEP];
export const UNKNOWN: Verdicts = BIT[KEEP] | BIT[DROP] | BIT[UNJUDGED];

export function only(answer: Answer): Verdicts {
  return BIT[answer];
}

/** Whether the row is kept out, dropped or unjudged. */
export function isOut(verdicts: Verdicts): boolean {
  return (verdicts & BIT[KEEP]) === 0;
}

export function mayBeUnjudged(verdicts: Verdicts): boolean {
  return (verdicts & BIT[UNJUDGED]) !== 0;
}

export function not(verdicts: Verdicts): Verdicts {
  const { [KEEP]: keep, [DROP]: drop, [UNJUDGED]: unjudged } = BIT;
  return (verdicts & unjudged) | (verdicts & keep ? drop : 0) | (verdicts & drop ? keep : 0);
}

/** `all`, `any` and `sequence` of the answers of their parts. */
export const JOINS = {
  // A part that drops decides, then one that cannot judge.
  all: (a: Answer, b: Answer) =>
    a === DROP || b === DROP ? DROP : a === UNJUDGED || b === UNJUDGED ? UNJUDGED : KEEP,
  // A part that keeps decides, then one that cannot judge.
  any: (a: Answer, b: Answer) =>
    a === KEEP || b === KEEP ? KEEP : a === UNJUDGED || b === UNJUDGED ? UNJUDGED : DROP,
  // The first part that does not keep decides.
  sequence: (a: Answer, b: Answer) => (a === KEEP ? b : a),
} as const;

const ANSWERS = [DROP, KEEP, UNJUDGED] as const;

export function join(kind: keyof typeof JOINS, parts: readonly Verdicts[]): Verdicts {
  const [first = SURELY_KEPT, ...rest] = parts;
  return rest.reduce((before, part) => {
    let joined = 0;
    for (const a of ANSWERS) {
      if ((before & BIT[a]) === 0) continue;
      for (const b of ANSWERS) if ((part & BIT[b]) !== 0) joined |= BIT[JOINS[kind](a, b)];
    }
    return joined;
  }, first);
}
