import type { Row } from '../../metadata/table.ts';

/**
 * SQL predicates that need no SQL: comparisons of the picture's sides with numbers, joined by AND. Sides are whole numbers
 * and always there, so nothing of SQL's types and NULLs comes in; everything else is DuckDB's to judge.
 */

const SIDE = '"?(original_width|original_height)"?';
const BOTH = String.raw`(least|greatest)\s*\(\s*${SIDE}\s*,\s*${SIDE}\s*\)`;
const NUMBER = String.raw`(\d{1,9}(?:\.\d{1,6})?)`;
const COMPARISON = new RegExp(
  String.raw`^\s*(?:${SIDE}|${BOTH})\s*(>=|<=|<>|!=|==|=|>|<)\s*${NUMBER}\s*$`,
  'i',
);

type Side = 'original_width' | 'original_height';

/** `undefined` where the predicate says anything else. */
export function simpleWhere(
  predicate: string,
): ((row: Pick<Row, 'original_width' | 'original_height'>) => boolean) | undefined {
  const tests: ((row: Pick<Row, Side>) => boolean)[] = [];
  for (const part of predicate.split(/\sand\s/i)) {
    const match = COMPARISON.exec(part);
    if (match === null) return undefined;
    const [, side, which, first, second, operator, number] = match;
    const bound = Number(number);
    const sides = (side === undefined ? [first, second] : [side]).map((name) => name.toLowerCase() as Side);
    const pick = which?.toLowerCase() === 'least' ? Math.min : Math.max;
    tests.push((row) => compare(pick(...sides.map((name) => row[name])), operator, bound));
  }
  return (row) => tests.every((test) => test(row));
}

function compare(value: number, operator: string, bound: number): boolean {
  switch (operator) {
    case '>=':
      return value >= bound;
    case '<=':
      return value <= bound;
    case '>':
      return value > bound;
    case '<':
      return value < bound;
    case '=':
    case '==':
      return value === bound;
    default:
      return value !== bound;
  }
}
