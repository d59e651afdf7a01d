/** A plan at work: samples are met in the order of their shard, and judged by the filters that were moved. */
import type { DetectorName } from '../../language/types.ts';
import type { Row } from '../../metadata/table.ts';
import { Firsts } from '../../score/firsts.ts';
import type { Dropped, Gate, Meeting } from '../../score/gate.ts';
import { AskedTogether } from './asked-together.ts';
import type { Facts } from './leaves.ts';
import type { Early, FilterPlan } from './plan.ts';
import { asksIn, judge } from './tree.ts';
import { isOut, mayBeUnjudged, SURELY_KEPT } from './verdicts.ts';

/** `undefined` where the plan moves nothing. */
export function gateOf(plan: FilterPlan): Gate | undefined {
  if (plan.early.length === 0) return undefined;
  const detectors = new Map<DetectorName, AskedTogether>();
  for (const one of plan.early) {
    if (one.kind !== 'tree') continue;
    for (const detector of asksIn(one.tree)) {
      if (!detectors.has(detector.name)) detectors.set(detector.name, new AskedTogether(detector));
    }
  }
  return {
    open() {
      const firsts = new Firsts();
      return { meet: (row) => meet(wellFormed(row), plan, detectors, firsts) };
    },
  };
}

function meet(
  row: Row,
  { early, strict }: FilterPlan,
  detectors: ReadonlyMap<DetectorName, AskedTogether>,
  firsts: Firsts,
): Meeting {
  const facts: Facts = { row, languages: new Map() };
  const trees = early.filter((one) => one.kind === 'tree');
  // Only the first filter that compares rows is moved, so there is one at most, and it is the last.
  const unique = early.find((one) => one.kind === 'unique');
  const value = unique === undefined ? null : row[unique.by];
  // Met before anything is waited for, as the order is the shard's.
  const met = value === null ? undefined : firsts.meet(value);
  let isFirst = false;
  const withRepeats = (told: Told): MaybePromise<Dropped | undefined> => {
    if (told !== 'kept' && told !== 'open') return told;
    isFirst = told === 'kept';
    if (met === undefined || unique === undefined || (strict && !isFirst)) return undefined;
    const drop = (isRepeat: boolean) =>
      isRepeat ? { filter: unique.name, detail: unique.label } : undefined;
    return met.before instanceof Promise ? met.before.then(drop) : drop(met.before);
  };
  const told = judgeAll(trees, facts, strict);
  return {
    dropped:
      told === 'open' && detectors.size > 0
        ? askAll(detectors, facts).then(() => withRepeats(judgeAll(trees, facts, strict)))
        : withRepeats(told),
    settle: (isScored) => met?.settle(isScored && isFirst),
  };
}

type MaybePromise<T> = T | Promise<T>;

/** Dropped, or let on: `kept` where no filter will drop it, `open` where one may. */
type Told = Dropped | 'kept' | 'open';

function judgeAll(trees: readonly (Early & { kind: 'tree' })[], facts: Facts, strict: boolean): Told {
  let told: Told = 'kept';
  for (const { tree, name, label } of trees) {
    const verdicts = judge(tree, facts);
    if (verdicts === SURELY_KEPT) continue;
    // An error for who asked for it: it has to be there when rows are selected.
    if (strict && mayBeUnjudged(verdicts)) return 'open';
    if (isOut(verdicts)) return { filter: name, detail: label };
    told = 'open';
  }
  return told;
}

async function askAll(detectors: ReadonlyMap<DetectorName, AskedTogether>, facts: Facts): Promise<void> {
  await Promise.all(
    [...detectors].map(async ([name, detector]) => {
      facts.languages.set(name, await detector.ask(facts.row.text));
    }),
  );
}

/** Text as it comes back from a parquet, which holds no lone surrogates. */
function wellFormed(row: Row): Row {
  const { text, url, sha256 } = row;
  return {
    ...row,
    text: text.toWellFormed(),
    url: url?.toWellFormed() ?? null,
    sha256: sha256?.toWellFormed() ?? null,
  };
}
