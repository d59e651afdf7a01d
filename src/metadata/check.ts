import { CancelledError, messageOf } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import { checkBetween } from './check-between.ts';
import { type CheckedShard, checkShard } from './check-shard.ts';
import { COPY_FILE } from './copy.ts';
import { type Finding, Findings } from './findings.ts';
import { inspectFolder, type MetadataFolder } from './folder.ts';
import { isOutcomeFile, type PartRecord, readParts, readUnfinished } from './outcome.ts';
import { RUN_FILE } from './run.ts';

export interface CheckOptions {
  /** Look into the npz's headers and the lists of skipped samples too. Default true. */
  embeddings?: boolean;
  /** The folders are parts of which others are elsewhere: that is no finding. */
  asParts?: boolean;
  signal?: AbortSignal;
}

export interface CheckedFolder {
  folder: Folder;
  kind: MetadataFolder['kind'];
  run?: MetadataFolder['run'];
  /** Those that could be opened and count. */
  shards: CheckedShard[];
  parts: PartRecord[];
}

export interface CheckedFolders {
  findings: Finding[];
  folders: CheckedFolder[];
}

/**
 * Checks metadata folders, each in itself and against each other, from their listings, footers and headers: no
 * column and no embedding is read. What of it matters is the caller's to decide: a threshold can do with a part of
 * the pool (`level` `incomplete`), a fraction cannot.
 *
 * Nothing of what the folders hold is thrown; it is in the findings.
 */
export async function checkFolders(
  folders: readonly Folder[],
  options: CheckOptions = {},
): Promise<CheckedFolders> {
  const findings = new Findings();
  const checked: CheckedFolder[] = [];
  for (const folder of folders) checked.push(await checkFolder(folder, findings, options));
  checkBetween(checked, findings, options);
  return { findings: findings.list(), folders: checked };
}

async function checkFolder(
  folder: Folder,
  findings: Findings,
  options: CheckOptions,
): Promise<CheckedFolder> {
  const { label } = folder;
  const checked: CheckedFolder = { folder, kind: 'empty', shards: [], parts: [] };
  let there: MetadataFolder;
  try {
    there = await inspectFolder(folder);
    checked.kind = there.kind;
    if (there.run !== undefined) checked.run = there.run;
    checked.parts = there.run === undefined ? [] : await readParts(folder);
  } catch (error) {
    findings.add({
      ...{ code: 'damaged', level: 'problem', folder: label, message: messageOf(error) },
      hint: 'Run score into a new folder, or restore the file',
    });
    return checked;
  }
  const { run, copy } = there;
  if (there.shards.length === 0 && there.committed.size === 0) {
    findings.add({
      ...{ code: 'no_metadata', level: 'problem', folder: label, message: 'no metadata here' },
      hint: 'Name a folder with .parquet files',
    });
    return checked;
  }
  for (const note of there.notes) {
    const message = note.replace(`${label} `, '').replace(/\.$/, '');
    findings.add({
      ...{ code: 'unknown_model', level: 'note', folder: label, message },
      hint: 'It is checked as far as possible',
    });
  }
  const files = new Set(await folder.list());
  const isWritten = run !== undefined || copy !== undefined;
  const counted = isWritten ? checkListing(label, there, files, findings) : there.shards;
  for (const shard of counted) {
    if (options.signal?.aborted) throw new CancelledError();
    const embeddings = options.embeddings ?? true;
    const found = await checkShard(folder, shard, { run, copy }, files, findings, { embeddings });
    if (found !== undefined) checked.shards.push(found);
  }
  if (run !== undefined) await checkUnfinished(folder, there, findings);
  return checked;
}

/** The shards of Shardsieve's own folder, or of a copy that it made, that count; what else lies there is told. */
function checkListing(
  folder: string,
  { shards, committed, copy }: MetadataFolder,
  files: ReadonlySet<string>,
  findings: Findings,
): string[] {
  const parquets = new Set(shards);
  const bases = new Set([...shards, ...committed, ...(copy?.shards ?? [])]);
  for (const file of files) {
    if (file === RUN_FILE || file === COPY_FILE || isOutcomeFile(file)) continue;
    const base = /^(.*?)(?:\.parquet|\.npz|_stats\.json|_skipped\.jsonl)$/.exec(file)?.[1];
    if (base !== undefined) bases.add(base);
    else {
      findings.add({
        ...{ code: 'stray_file', level: 'note', folder, message: 'files that are no metadata', file },
        hint: 'They do no harm',
      });
    }
  }
  for (const shard of [...bases].sort()) {
    if (parquets.has(shard) && committed.has(shard)) continue;
    const lacks = [
      ...(parquets.has(shard) ? [] : ['.parquet']),
      ...(committed.has(shard) ? [] : ['_stats.json']),
    ];
    findings.add({
      ...{ code: 'half_written', level: 'problem', folder, file: shard },
      ...{ message: 'shards that were not fully written', detail: `no ${lacks.join(', no ')}` },
      hint: `Run ${copy === undefined ? 'score' : 'annotate with this --out'} again to finish them`,
    });
  }
  return shards.filter((shard) => committed.has(shard));
}

/** Shards that a run was given and that are not here. */
async function checkUnfinished(folder: Folder, there: MetadataFolder, findings: Findings): Promise<void> {
  const { label } = folder;
  try {
    const { pending, failed } = await readUnfinished(folder);
    const files = (shards: string[]) =>
      shards.filter((shard) => !there.committed.has(shard)).map((file) => ({ file, detail: '' }));
    const waiting = files(pending);
    if (waiting.length > 0) {
      findings.add({
        ...{ code: 'not_scored', level: 'incomplete', folder: label, places: waiting },
        message: `${waiting.length} shards that a run was given are not scored yet`,
        hint: 'Run score again',
      });
    }
    const lost = failed.filter(({ shard }) => !there.committed.has(shard));
    if (lost.length > 0) {
      findings.add({
        ...{ code: 'failed_shards', level: 'incomplete', folder: label },
        message: `${lost.length} shards failed and are not here`,
        places: lost.map(({ shard, problem }) => ({ file: shard, detail: problem })),
        hint: 'Mend them and run score --retry-failed',
      });
    }
  } catch (error) {
    findings.add({
      ...{ code: 'damaged', level: 'problem', folder: label, message: messageOf(error) },
      hint: 'Remove the record and run score again',
    });
  }
}
