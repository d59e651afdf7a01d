import type { CheckedFolder, CheckOptions } from './check.ts';
import { scoreColumn, slugOf } from './columns.ts';
import type { Findings } from './findings.ts';
import { missingParts, partFile } from './outcome.ts';
import { PUNSAFE_GROUP, type RunEntry } from './run.ts';
import { type ShardStats, sameInput } from './stats.ts';

/** Checks that need more than one shard or folder: whether they can be read as one table. */
export function checkBetween(
  folders: readonly CheckedFolder[],
  findings: Findings,
  options: CheckOptions,
): void {
  checkModels(folders, findings);
  checkGroups(folders, findings);
  checkPunsafe(folders, findings);
  checkColumns(folders, findings);
  checkDims(folders, findings);
  checkRepeated(folders, findings);
  checkParts(folders, findings, options);
}

/** Two folders whose numbers go by one name and were made by two models. */
function checkModels(folders: readonly CheckedFolder[], findings: Findings): void {
  const first = new Map<string, { label: string; entry: RunEntry }>();
  let rows: { label: string; entry: RunEntry } | undefined;
  for (const { folder, run, shards } of folders) {
    if (run === undefined) continue;
    const { label } = folder;
    rows ??= { label, entry: run.rows };
    if (rows.entry.fingerprint !== run.rows.fingerprint) {
      findings.add({
        ...{ code: 'mixed_rows', level: 'note', folder: label },
        message: `its rows were made with other options than those of ${rows.label}: ${differences(rows.entry, run.rows)}`,
        hint: 'Captions or uids of the two may come from different fields',
      });
    }
    // A model that run.json names and no shard holds made no number.
    const used = new Set(shards.flatMap(({ stats }) => Object.keys(stats?.groups ?? {})));
    for (const [slug, entry] of Object.entries(run.models)) {
      if (!used.has(`clip:${slug}`)) continue;
      const known = first.get(slug);
      if (known === undefined) first.set(slug, { label, entry });
      else if (known.entry.fingerprint !== entry.fingerprint) {
        findings.add({
          ...{ code: 'mixed_models', level: 'problem', folder: label, column: scoreColumn(slug) },
          message: `scored by another model than ${known.label}: ${differences(known.entry, entry)}`,
          hint: 'Scores of two models cannot be compared: select from one folder at a time, or score both with one model',
        });
      }
    }
  }
  const foreign = folders.find(({ kind }) => kind === 'foreign');
  if (foreign === undefined) return;
  const columns = new Set(foreign.shards.flatMap(({ parquet }) => parquet.columns.map(({ name }) => name)));
  for (const [slug, { label }] of first) {
    if (!columns.has(scoreColumn(slug))) continue;
    findings.add({
      ...{ code: 'unknown_model', level: 'note', folder: foreign.folder.label, column: scoreColumn(slug) },
      message: `whether it was scored by the same model as ${label} cannot be known`,
      hint: 'Compare a few scores by uid',
    });
  }
}

function differences(a: RunEntry, b: RunEntry): string {
  const fields = Object.keys({ ...a, ...b }).filter(
    (field) => field !== 'fingerprint' && JSON.stringify(a[field]) !== JSON.stringify(b[field]),
  );
  const shown = fields.map((f) => `${f} ${JSON.stringify(a[f])} there, ${JSON.stringify(b[f])} here`);
  return [...shown, `fingerprint ${a.fingerprint} there, ${b.fingerprint} here`].join('; ');
}

/** Folders whose `punsafe` is made of other classifiers, so that it means two things. */
function checkPunsafe(folders: readonly CheckedFolder[], findings: Findings): void {
  let first: { label: string; fingerprint: string } | undefined;
  for (const { folder, shards } of folders) {
    const fingerprint = shards
      .map(({ stats }) => stats?.groups[PUNSAFE_GROUP])
      .find((found) => found !== undefined);
    if (fingerprint === undefined) continue;
    first ??= { label: folder.label, fingerprint };
    if (fingerprint === first.fingerprint) continue;
    findings.add({
      ...{ code: 'mixed_safety', level: 'note', folder: folder.label },
      message: `punsafe and nsfw_tag are made of other classifiers than in ${first.label}`,
      hint: 'Annotate all folders with the same --safety, or select safe rows from one folder at a time',
    });
  }
}

/** A column group that some shards of a folder have and others lack. */
function checkGroups(folders: readonly CheckedFolder[], findings: Findings): void {
  for (const { folder, shards } of folders) {
    const own = shards.filter(({ stats }) => stats !== undefined);
    const groups = new Set(own.flatMap(({ stats }) => Object.keys(stats!.groups)));
    for (const group of [...groups].sort()) {
      const without = own.filter(({ stats }) => !(group in stats!.groups));
      if (without.length === 0) continue;
      findings.add({
        ...{ code: 'missing_columns', level: 'incomplete', folder: folder.label },
        message: `${without.length} of ${own.length} shards have no ${group}`,
        places: without.map(({ shard }) => ({ file: shard, detail: '' })),
        hint: 'Run the command that made it over all shards again',
      });
    }
  }
}

/** Columns that not all files have, or have in another type; of foreign files and between folders. */
function checkColumns(folders: readonly CheckedFolder[], findings: Findings): void {
  const files = folders.flatMap(({ folder, kind, shards }) =>
    shards.map(({ parquet }) => ({ folder, kind, parquet })),
  );
  const types = new Map<string, Map<string, number>>();
  for (const { parquet } of files) {
    for (const { name, type } of parquet.columns) {
      const counts = types.get(name) ?? new Map<string, number>();
      types.set(name, counts.set(type, (counts.get(type) ?? 0) + 1));
    }
  }
  for (const [column, counts] of types) {
    const total = [...counts.values()].reduce((sum, n) => sum + n, 0);
    const without = files.filter(({ parquet }) => !parquet.columns.some(({ name }) => name === column));
    const isWhole = column === 'uid' || slugOf(column) !== undefined;
    // Own folders' gaps are told by group.
    const between = without.filter(({ kind }) => kind === 'foreign' || folders.length > 1);
    if (total < files.length && isWhole && between.length > 0) {
      findings.add({
        ...{ code: 'missing_columns', level: 'incomplete', folder: between[0].folder.label, column },
        message: `${between.length} of ${files.length} files lack a column that others have`,
        places: between.map(({ folder, parquet }) => ({
          file: `${folder.label}/${parquet.name}`,
          detail: '',
        })),
        hint: 'Score these with the same model, or select by another column',
      });
    }
    if (counts.size > 1) {
      findings.add({
        ...{ code: 'mixed_types', level: 'note', folder: files[0].folder.label, column },
        message: `of several types: ${[...counts].map(([type, n]) => `${type} in ${n} files`).join(', ')}`,
        hint: 'Each file is compared in its own type',
      });
    }
  }
  for (const { folder, kind, parquet } of files) {
    if (kind !== 'foreign' || parquet.columns.some(({ name }) => name === 'uid')) continue;
    findings.add({
      ...{ code: 'missing_columns', level: 'problem', folder: folder.label, column: 'uid' },
      ...{ message: 'parquets without uids', file: parquet.name },
      hint: 'Nothing can be selected from them',
    });
  }
}

/** Embeddings of one name with another dimension in another file. */
function checkDims(folders: readonly CheckedFolder[], findings: Findings): void {
  const first = new Map<string, { dim: number; file: string }>();
  for (const { folder, shards } of folders) {
    for (const { shard, arrays } of shards) {
      for (const [name, { rows, dim }] of arrays ?? []) {
        if (rows === 0) continue;
        const file = `${folder.label}/${shard}.npz`;
        const key = name.replace(/_(img|txt)$/, '');
        const known = first.get(key);
        if (known === undefined) first.set(key, { dim, file });
        else if (known.dim !== dim) {
          findings.add({
            ...{ code: 'npz_dim', level: 'problem', folder: folder.label, file: `${shard}.npz` },
            message: `embeddings of ${key} with another dimension than in ${known.file} (${known.dim})`,
            ...{ detail: `${name} has ${dim}`, hint: 'They come from different models; keep them apart' },
          });
        }
      }
    }
  }
}

/** A shard that two folders hold: its rows would count twice. */
function checkRepeated(folders: readonly CheckedFolder[], findings: Findings): void {
  const seen = new Map<string, { label: string; stats: ShardStats }>();
  for (const { folder, shards } of folders) {
    for (const { shard, stats } of shards) {
      if (stats === undefined) continue;
      const other = seen.get(shard);
      if (other === undefined) seen.set(shard, { label: folder.label, stats });
      else if (sameInput(other.stats.input, stats.input)) {
        findings.add({
          ...{ code: 'repeated_shard', level: 'problem', folder: folder.label, file: shard },
          message: `shards that are in ${other.label} too, so that their rows would count twice`,
          hint: 'Name one of the folders, or merge them with shardsieve merge',
        });
      }
    }
  }
}

function checkParts(
  folders: readonly CheckedFolder[],
  findings: Findings,
  { asParts = false }: CheckOptions,
): void {
  const parts = folders.flatMap(({ folder, parts }) =>
    parts.map((part) => ({ ...part, label: folder.label })),
  );
  if (parts.length === 0) return;
  const other = parts.find(({ list, count }) => list !== parts[0].list || count !== parts[0].count);
  if (other !== undefined) {
    findings.add({
      ...{ code: 'part_lists_differ', level: 'problem', folder: other.label, file: partFile(other) },
      message: `a part of another list of shards than ${partFile(parts[0])} of ${parts[0].label}`,
      detail: `${other.pool} shards, ${parts[0].pool} there`,
      hint: 'Give every machine the same list and the same number of parts',
    });
    return;
  }
  const missing = missingParts(parts);
  if (missing.length === 0 || asParts) return;
  findings.add({
    ...{ code: 'missing_parts', level: 'incomplete', folder: parts[0].label },
    message: `${parts.length} of ${parts[0].count} parts of a pool of ${parts[0].pool} shards`,
    places: missing.map(({ index, count }) => ({ file: `${index}/${count}`, detail: 'not here' })),
    hint: 'Score the other parts, and name or merge all of them',
  });
}
