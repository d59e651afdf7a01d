/** What was found, in `run.json` and in folders that are merged. */
import { MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { refineGroup } from '../metadata/columns.ts';
import { writeFile } from '../metadata/folder.ts';
import { encodeRun, RUN_FILE, type RunRecord, readRun } from '../metadata/run.ts';
import type { Json } from '../metadata/table.ts';
import type { Refined } from './refine.ts';

/** Writes into `run.json` what refining found. */
export async function recordRefined(folder: Folder, slug: string, found: Refined): Promise<void> {
  const { column, thresholds, rows, refined, sample, largest, factor, band } = found;
  await writeMeasured(folder, refineGroup(slug), {
    ...{ column, thresholds: thresholds.map(finite), rows, refined },
    ...{ sample: { ...sample }, largest, factor, band },
  });
}

/**
 * Writes into a merged folder's `run.json` what was found in its parts: the rows together, the bounds that all of them
 * were refined for, and each part's own sample and band. Nothing, where a part was not refined to its end.
 */
export async function recordMerged(out: Folder, parts: readonly RunRecord[]): Promise<void> {
  for (const group of Object.keys(parts[0]?.groups ?? {}).filter((name) =>
    name.startsWith(refineGroup('')),
  )) {
    const found = parts.map(({ groups }) => groups?.[group]?.['measured']).filter(isObject);
    if (found.length < parts.length) await writeMeasured(out, group, undefined);
    else if (found.length === 1) await writeMeasured(out, group, found[0]);
    else {
      const lists = found.map(({ thresholds }) => (Array.isArray(thresholds) ? thresholds : []));
      const sum = (field: string) => found.reduce((total, one) => total + Number(one[field]), 0);
      await writeMeasured(out, group, {
        column: found[0]['column'],
        thresholds: lists[0].filter((threshold) => lists.every((list) => list.includes(threshold))),
        ...{ rows: sum('rows'), refined: sum('refined'), parts: found },
      });
    }
  }
}

async function writeMeasured(folder: Folder, group: string, measured: Json | undefined): Promise<void> {
  const run = await readRun(folder);
  const entry = run?.groups?.[group];
  if (run === undefined || entry === undefined) {
    throw new MetadataError(`no ${group} in ${RUN_FILE}`, { file: folder.label, hint: 'Run it again' });
  }
  const { measured: _, ...rest } = entry;
  const groups = { ...run.groups, [group]: measured === undefined ? rest : { ...rest, measured } };
  await writeFile(folder, RUN_FILE, encodeRun({ ...run, groups }));
}

function isObject(value: Json | undefined): value is { [field: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** JSON has no infinity: the threshold that keeps every number is `null`. */
function finite(threshold: number): number | null {
  return Number.isFinite(threshold) ? threshold : null;
}
