/** Scores that fp32 decides near some thresholds only: whether the ones that filters cut at are among them. */
import { refineGroup, slugOf } from '../metadata/columns.ts';
import type { RunRecord } from '../metadata/run.ts';
import type { Json } from '../metadata/table.ts';
import type { Step } from './evaluate.ts';
import { inType } from './scores.ts';

export interface SelectedFolder {
  label: string;
  run?: RunRecord;
  rows: number;
}

type Measured = { [field: string]: Json };

/**
 * What the folders say of having refined the columns that these steps cut, and what has to be told where they were not
 * refined for that.
 */
export function refinedFor(
  folders: readonly SelectedFolder[],
  steps: readonly Step[],
): { measured: Measured[]; notes: string[] } {
  const all = new Map<string, Measured>();
  const notes = new Set<string>();
  for (const { column, threshold } of steps.flatMap(({ found }) => found)) {
    const slug = column === undefined ? undefined : slugOf(column);
    if (slug === undefined || threshold === undefined) continue;
    const refined = folders.filter(({ run }) => run?.groups?.[refineGroup(slug)] !== undefined);
    for (const { label, run, rows } of refined) {
      const measured = measuredOf(run!.groups![refineGroup(slug)]['measured']);
      if (measured === undefined || measured['rows'] !== rows) {
        notes.add(
          `${label}: refining ${column} was not finished, or shards came since: not every row near the threshold is fp32's. Run the command with --refine again`,
        );
        continue;
      }
      all.set(`${label} ${column}`, measured);
      if (isThere(measured['thresholds'], threshold)) continue;
      notes.add(
        `${label}: ${column} is fp32's near ${list(measured['thresholds'])}, and the bound here is ${threshold}, where the scores are not. Add --refine to the scoring for this bound`,
      );
    }
    if (refined.length > 0 && refined.length < folders.length) {
      notes.add(`${column} is refined in ${refined.length} of ${folders.length} folders`);
    }
  }
  return { measured: [...all.values()], notes: [...notes] };
}

function measuredOf(value: Json | undefined): Measured | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
}

/** The threshold that keeps every number is `null` in JSON. */
function isThere(thresholds: Json | undefined, threshold: number): boolean {
  const wanted = Number.isFinite(threshold) ? inType(threshold, 'FLOAT') : null;
  return Array.isArray(thresholds) && thresholds.includes(wanted);
}

function list(thresholds: Json | undefined): string {
  return Array.isArray(thresholds)
    ? thresholds.map((value) => value ?? 'no threshold').join(', ')
    : 'nothing';
}
