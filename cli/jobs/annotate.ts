import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type AnnotateEvent, type AnnotateTotals, annotate as runAnnotate } from '../../src/annotate/job.ts';
import { languageAnnotator } from '../../src/annotate/language.ts';
import type { Annotator } from '../../src/annotate/types.ts';
import { UsageError } from '../../src/errors.ts';
import type { Part } from '../../src/io/part.ts';
import type { DetectorName } from '../../src/language/types.ts';
import type { RunEvent } from '../../src/run/events.ts';
import { openFolder } from '../io/folder.ts';
import { linkFile } from '../io/link.ts';
import { createLanguages, type LanguagesOptions } from '../language/languages.ts';
import type { LidChoice } from '../language/models.ts';

export type { AnnotateEvent, AnnotateTotals };

export interface AnnotateOptions {
  /** A metadata folder: Shardsieve's own or a copy it made, or with `out` anybody's. */
  metadata: string;
  /** Language detectors, each a column group. */
  lang?: readonly DetectorName[];
  /** fastText's model: `compressed` (default), `full`, or the path of one. */
  lid?: LidChoice;
  /** Where a foreign folder is copied to. */
  out?: string;
  /** Annotate only this part of the folder's shards. */
  part?: Part;
  /** Threads a detector; default all cores, at most 8. */
  threads?: number;
  onEvent?: (event: AnnotateEvent) => void;
  onDownload?: LanguagesOptions['onProgress'];
  signal?: AbortSignal;
}

/**
 * Adds columns to metadata, in place or into a copy. Throws `UsageError`, `MetadataError`, `ModelError`,
 * `DownloadError`, `OutputError`, `CancelledError`; what was committed before stays.
 */
export async function annotate(options: AnnotateOptions): Promise<AnnotateTotals> {
  const { metadata, lang = [], out, signal, onEvent = () => {} } = options;
  if (out !== undefined && (await isSame(metadata, out))) {
    throw new UsageError('--out is the metadata folder itself', {
      hint: 'Name another folder, or leave out --out',
    });
  }
  const languages = createLanguages({
    threads: options.threads,
    lid: options.lid,
    signal,
    onNote: (text) => onEvent({ type: 'note', text }),
    ...(options.onDownload === undefined ? {} : { onProgress: options.onDownload }),
  });
  try {
    const annotators: Annotator[] = [];
    for (const name of new Set(lang)) {
      const detector = await languages.detector(name);
      annotators.push(languageAnnotator(detector, detector.entry));
    }
    return await runAnnotate({
      folder: openFolder(metadata, { readOnly: out !== undefined }),
      annotators,
      ...(out === undefined
        ? {}
        : { out: openFolder(out), carry: (name: string) => linkFile(metadata, out, name) }),
      part: options.part,
      onEvent,
      signal,
    });
  } finally {
    await languages.close();
  }
}

/** What annotating tells, as a run tells it. */
export function asRunEvents(event: AnnotateEvent): RunEvent[] {
  if (event.type === 'plan') return [{ ...event, bytes: undefined }];
  if (event.type !== 'rows') return [event];
  return Array.from({ length: event.rows }, () => ({ type: 'sample', outcome: 'scored' }));
}

async function isSame(a: string, b: string): Promise<boolean> {
  const real = (path: string) => realpath(path).catch(() => resolve(path));
  return (await real(a)) === (await real(b));
}
