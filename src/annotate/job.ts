import { MetadataError, UsageError } from '../errors.ts';
import type { Folder } from '../io/bytes.ts';
import type { Part } from '../io/part.ts';
import { inspectFolder } from '../metadata/folder.ts';
import type { PictureReading } from '../score/judge.ts';
import { annotateCopy } from './copy.ts';
import { annotateOwn, groupTotals } from './own.ts';
import { type Annotator, needsPictures, type PictureSource } from './types.ts';

/** What a running job tells whoever watches. */
export type AnnotateEvent =
  | { type: 'plan'; shards: number; pending: number; reused: number }
  | { type: 'rows'; rows: number }
  | { type: 'shard'; shard: string; state: 'done' | 'reused' }
  | { type: 'note'; text: string };

export interface AnnotateJob {
  /** The metadata: Shardsieve's own, a copy that it made, or with `out` anybody's. */
  folder: Folder;
  /** Where a foreign folder is copied to, columns added. */
  out?: Folder;
  annotators: readonly Annotator[];
  /** Brings a file of `folder` into `out`, by a link where it can, whole or not at all. */
  carry?: (name: string) => Promise<void>;
  /** For annotators that need pictures. */
  pictures?: PictureSource;
  reading?: PictureReading;
  /** Take only these of the folder's shards. */
  only?: ReadonlySet<string>;
  /** Take only this part of the folder's shards; other machines take the others, into the same folder. */
  part?: Part;
  onEvent: (event: AnnotateEvent) => void;
  signal?: AbortSignal;
}

export interface AnnotateTotals {
  /** Rows of all shards of the run. */
  rows: number;
  groups: {
    group: string;
    fingerprint: string;
    columns: string[];
    /** Rows of this run for which the first column is null: no caption, no picture. */
    unjudged: number;
  }[];
  /** Base names: annotated in this run, and found finished. */
  shards: { done: string[]; reused: string[] };
}

/**
 * Adds column groups to metadata: in place where Shardsieve wrote the folder, else into a copy of it. A shard is
 * committed whole, `_stats.json` last; one that has its groups is recognised by their fingerprints; a group that is
 * there with another fingerprint is refused before anything is computed.
 *
 * Throws `UsageError`, `MetadataError`, `OutputError`, `CancelledError`.
 */
export async function annotate(job: AnnotateJob): Promise<AnnotateTotals> {
  const { folder, out, annotators } = job;
  if (annotators.length === 0)
    throw new UsageError('nothing to add', { hint: 'Name detectors with --lang, or --safety' });
  const pictured = annotators.find(needsPictures);
  if (pictured !== undefined && job.pictures === undefined) {
    throw new UsageError(`${pictured.group} needs the pictures`, { hint: 'Give the shards too' });
  }
  const there = await inspectFolder(folder);
  if (there.shards.length === 0) {
    throw new MetadataError('no metadata here: no .parquet file', { file: folder.label });
  }
  const totals: AnnotateTotals = {
    rows: 0,
    groups: annotators.map(groupTotals),
    shards: { done: [], reused: [] },
  };
  if (out === undefined) {
    if (there.kind === 'shardsieve') await annotateOwn(job, there, totals);
    else if (there.copy !== undefined)
      await annotateCopy(job, { source: there, record: there.copy, out: folder }, totals);
    else {
      throw new UsageError(`${folder.label} was not written by Shardsieve and is never modified`, {
        hint: 'Give --out DIR for a copy of it with the columns added',
      });
    }
    return totals;
  }
  if (there.kind === 'shardsieve') {
    throw new UsageError(`${folder.label} was written by Shardsieve: columns are added to it in place`, {
      hint: 'Leave out --out',
    });
  }
  if (there.copy !== undefined) {
    throw new UsageError(`${folder.label} is a copy that Shardsieve made: columns are added to it in place`, {
      hint: 'Leave out --out',
    });
  }
  await annotateCopy(job, { source: there, record: undefined, out }, totals);
  return totals;
}
