import { isShardsieveError, messageOf } from '../errors.ts';

/** What checks of metadata find: stated as data, so that one caller refuses, another reports, a third counts. */

export type FindingCode =
  // The folder
  | 'no_metadata'
  | 'damaged'
  | 'half_written'
  | 'stray_file'
  // What of the pool is not there
  | 'pilot'
  | 'filtered'
  | 'not_scored'
  | 'failed_shards'
  | 'missing_parts'
  | 'missing_columns'
  // Counts and fingerprints
  | 'accounting'
  | 'rows_differ'
  | 'skipped_lines'
  | 'fingerprint'
  | 'unvouched_column'
  // Embeddings
  | 'npz_missing'
  | 'npz_rows'
  | 'npz_dim'
  | 'npz_not_finite'
  | 'npz_not_unit'
  | 'score_not_dot'
  // Columns' values
  | 'score_nan'
  | 'uid_malformed'
  | 'uid_repeated'
  // Between folders
  | 'mixed_models'
  | 'mixed_rows'
  | 'mixed_safety'
  | 'unknown_model'
  | 'mixed_types'
  | 'repeated_shard'
  | 'part_lists_differ'
  // Against the shards
  | 'input_changed'
  | 'input_unreadable'
  | 'shard_missing'
  | 'shard_unknown'
  // Resharded folders
  | 'output_missing'
  | 'output_samples'
  | 'output_incomplete';

/**
 * - `problem`: something is wrong, and numbers or rows cannot be trusted
 * - `incomplete`: what is there is right, and is not all of the pool
 * - `note`: worth knowing
 */
export type FindingLevel = 'problem' | 'incomplete' | 'note';

export interface Finding {
  code: FindingCode;
  level: FindingLevel;
  /** The folder's label. */
  folder: string;
  column?: string;
  message: string;
  /** Every file it was found in, and what of it; empty where it is of the folder as a whole. */
  places: { file: string; detail: string }[];
  /** What to do. */
  hint: string;
}

/** Collects findings; those of one kind in one folder become one, with a place for each file. */
export class Findings {
  readonly #all = new Map<string, Finding>();

  add(
    finding: Omit<Finding, 'places'> & { file?: string; detail?: string; places?: Finding['places'] },
  ): void {
    const { file, detail = '', places = [], ...rest } = finding;
    const key = JSON.stringify([rest.folder, rest.code, rest.column, rest.message]);
    let known = this.#all.get(key);
    if (known === undefined) {
      known = { ...rest, places: [] };
      this.#all.set(key, known);
    }
    known.places.push(...places);
    // Two checks may meet the same damage, one right after the other.
    const last = known.places.at(-1);
    const isTold = last?.file === file && last?.detail === detail;
    if (file !== undefined && !isTold) known.places.push({ file, detail });
  }

  /** Problems first, then what is incomplete, then notes; in the order found. */
  list(): Finding[] {
    const order = (level: FindingLevel) => ['problem', 'incomplete', 'note'].indexOf(level);
    return [...this.#all.values()].sort((a, b) => order(a.level) - order(b.level));
  }
}

/** Tells that a file cannot be read. `isOwn`: Shardsieve wrote it and can write it again. */
export function addDamaged(
  findings: Findings,
  { folder, file, isOwn }: { folder: string; file: string; isOwn: boolean },
  error: unknown,
): void {
  // The message names the file already.
  const detail = isShardsieveError(error) ? error.message.replace(/ \(file [^)]*\)/, '') : messageOf(error);
  findings.add({
    ...{ code: 'damaged', level: 'problem', folder, message: 'files that cannot be read', file, detail },
    hint: isOwn ? 'Remove them and run score again' : 'Fetch them again',
  });
}

/** Places that a message names before it only counts them. */
const NAMED = 5;

/** A finding in one line: where, what, in which files, what to do. */
export function formatFinding({ folder, column, message, places, hint }: Finding, named = NAMED): string {
  const shown = places.slice(0, named).map(({ file, detail }) => (detail ? `${file} (${detail})` : file));
  const rest = places.length > named ? ` and ${places.length - named} more` : '';
  const where = shown.length > 0 ? `: ${shown.join(', ')}${rest}` : '';
  return `${folder}: ${message}${column === undefined ? '' : ` (column ${column})`}${where}. ${hint}`;
}
