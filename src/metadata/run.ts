import { MetadataError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { parseJsonObject } from './json.ts';
import type { Json } from './table.ts';

/**
 * `run.json`: what the numbers in a metadata folder were made with. It says nothing of when, so it is the same
 * from run to run; a run with another model adds to it.
 */
export interface RunRecord {
  /** Shardsieve's version that began the folder. */
  shardsieve: string;
  /**
   * The options that decide the rows (where captions and uids come from, carried fields), and their fingerprint. `gate`:
   * the filters that dropped samples before they were scored; the folder is a part of the pool, on purpose.
   */
  rows: RunEntry;
  /** By slug. */
  models: { [slug: string]: RunEntry };
  /** Later column groups, by name. */
  groups?: { [group: string]: RunEntry };
}

/**
 * Whatever is known of one source of numbers. For a model: `name`, `revision`, weight and config hashes, the
 * preprocess and its fingerprint, precision, provider. `fingerprint` is the group's in `_stats.json`.
 */
export interface RunEntry {
  fingerprint: string;
  [field: string]: Json;
}

export const RUN_FILE = 'run.json';

/** The group made of other groups' columns: the one that is replaced when they change. */
export const PUNSAFE_GROUP = 'safety:punsafe';

/** The record of a folder, or `undefined` where there is none. Throws `MetadataError` where it is damaged. */
export async function readRun(folder: Folder): Promise<RunRecord | undefined> {
  const bytes = await folder.read(RUN_FILE);
  return bytes && parseRun(bytes, `${folder.label}/${RUN_FILE}`);
}

/**
 * Adds what this run brings and keeps what is there. Throws `MetadataError` where an entry is there with another
 * fingerprint: two kinds of number under one name are never mixed.
 */
export function mergeRun(have: RunRecord | undefined, add: RunRecord, label: string): RunRecord {
  const place = { label, file: RUN_FILE };
  if (have && JSON.stringify(have.rows['gate']) !== JSON.stringify(add.rows['gate'])) {
    throw otherGate(have.rows, add.rows, place);
  }
  if (have && have.rows.fingerprint !== add.rows.fingerprint) {
    const hint = 'Use the options of the first run, or write to another --out';
    throw otherSettings('rows', have.rows, add.rows, { ...place, hint });
  }
  const groups = mergeGroups(have?.groups ?? {}, add.groups ?? {}, place);
  return {
    shardsieve: have?.shardsieve ?? add.shardsieve,
    rows: have?.rows ?? add.rows,
    models: mergeEntries('model', have?.models ?? {}, add.models, {
      ...place,
      hint: 'Give the other model its own --slug, or write to another --out',
    }),
    ...(Object.keys(groups).length > 0 ? { groups } : {}),
  };
}

interface Entries {
  [name: string]: RunEntry;
}

/** `mergeRun` for column groups alone. */
export function mergeGroups(have: Entries, add: Entries, place: { label: string; file: string }): Entries {
  const hint =
    'Use the settings of the first run; a head or concept file that was changed goes by another name';
  return mergeEntries('group', have, add, { ...place, hint });
}

/** Rows that some filters let through are not those that others do. */
function otherGate(
  have: RunEntry,
  add: RunEntry,
  { label, file }: { label: string; file: string },
): MetadataError {
  const shown = ({ gate }: RunEntry) =>
    gate === undefined
      ? 'all samples'
      : `the samples that passed ${text((gate as { filters: Json }).filters)}`;
  return new MetadataError(
    `${label} holds ${shown(have)}, and this run would add ${shown(add)}: what was made by other filters is not extended`,
    {
      file,
      hint:
        have['gate'] === undefined
          ? 'Write to another --out, or add --full-metadata'
          : 'Use the filters of the first run, or write to another --out; with --full-metadata there, other filters can follow',
    },
  );
}

type Place = { label: string; file: string; hint: string };

function mergeEntries(kind: string, have: Entries, add: Entries, place: Place): Entries {
  const entries = { ...add, ...have };
  for (const [name, entry] of Object.entries(add)) {
    if (name === PUNSAFE_GROUP) entries[name] = entry;
    else if (entries[name].fingerprint !== entry.fingerprint) {
      throw otherSettings(`${kind} ${name}`, entries[name], entry, place);
    }
  }
  return Object.fromEntries(Object.entries(entries).sort(([x], [y]) => (x < y ? -1 : 1)));
}

function otherSettings(what: string, old: RunEntry, now: RunEntry, place: Place): MetadataError {
  const { label, file, hint } = place;
  const differing = Object.keys({ ...old, ...now })
    .filter((field) => field !== 'fingerprint' && JSON.stringify(old[field]) !== JSON.stringify(now[field]))
    .map((field) => `; ${field}: ${text(old[field])} there, ${text(now[field])} now`)
    .join('');
  return new MetadataError(
    `${label} already holds ${what} made with other settings (fingerprint ${old.fingerprint}, now ${now.fingerprint}${differing})`,
    { file, hint },
  );
}

export function encodeRun(run: RunRecord): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(run, null, 2)}\n`);
}

function parseRun(bytes: Uint8Array, file: string): RunRecord {
  const json = parseJsonObject(bytes, file);
  const entry = (value: unknown): value is RunEntry =>
    typeof value === 'object' &&
    value !== null &&
    typeof (value as { fingerprint?: unknown }).fingerprint === 'string';
  const entries = (value: unknown): boolean =>
    typeof value === 'object' && value !== null && Object.values(value).every(entry);
  const { shardsieve, rows, models, groups } = json;
  if (
    typeof shardsieve !== 'string' ||
    !entry(rows) ||
    !entries(models) ||
    (groups !== undefined && !entries(groups))
  ) {
    throw new MetadataError('not a run.json that Shardsieve wrote', { file });
  }
  return json as unknown as RunRecord;
}

function text(value: Json | undefined): string {
  return value === undefined ? 'nothing' : typeof value === 'string' ? value : JSON.stringify(value);
}
