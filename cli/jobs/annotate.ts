import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  type AnnotateEvent,
  type AnnotateJob,
  type AnnotateTotals,
  annotate as runAnnotate,
} from '../../src/annotate/job.ts';
import { languageAnnotator } from '../../src/annotate/language.ts';
import type { Annotator } from '../../src/annotate/types.ts';
import { UsageError } from '../../src/errors.ts';
import type { Part } from '../../src/io/part.ts';
import type { DetectorName } from '../../src/language/types.ts';
import type { RunEvent } from '../../src/run/events.ts';
import { createDecoder } from '../decode/decoder.ts';
import { openFolder } from '../io/folder.ts';
import { linkFile } from '../io/link.ts';
import { createLanguages, type LanguagesOptions } from '../language/languages.ts';
import type { LidChoice } from '../language/models.ts';
import { closeAll, openSafety } from '../safety/open.ts';
import { picturesFor } from '../safety/pictures.ts';
import { spacesOf } from '../safety/spaces.ts';
import { parseSafety } from '../safety/specs.ts';

export type { AnnotateEvent, AnnotateTotals };

export interface AnnotateOptions {
  /** A metadata folder: Shardsieve's own or a copy it made, or with `out` anybody's. */
  metadata: string;
  /** Language detectors, each a column group. */
  lang?: readonly DetectorName[];
  /** fastText's model: `compressed` (default), `full`, or the path of one. */
  lid?: LidChoice;
  /** Safety classifiers, lists and hashes, each a column group: `nsfwjs`, `laion-l14`, `concepts:FILE`, … */
  safety?: readonly string[];
  /** The tars, for what looks at pictures. */
  shards?: string | readonly string[];
  /** The model that made the embeddings, where concepts have to be embedded and its name does not say where it is. */
  model?: string;
  /** Annotate only these of the folder's shards. */
  only?: ReadonlySet<string>;
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
  const annotators: Annotator[] = [];
  try {
    for (const name of new Set(lang)) {
      const detector = await languages.detector(name);
      annotators.push(languageAnnotator(detector, detector.entry));
    }
    const specs = parseSafety(options.safety ?? []);
    const download = {
      signal,
      onNote: (text: string) => onEvent({ type: 'note', text }),
      ...(options.onDownload === undefined ? {} : { onProgress: options.onDownload }),
    };
    let pictures: Pick<AnnotateJob, 'pictures' | 'reading'> = {};
    if (specs.length > 0) {
      const { model, threads } = options;
      const folder = await spacesOf(metadata, { ...download, model });
      const reading = { decoder: createDecoder(), fit: folder.fit };
      annotators.push(...(await openSafety(specs, { ...download, spaces: folder.spaces, reading, threads })));
      const { shards } = options;
      pictures = { reading, pictures: await picturesFor({ ...download, shards }, folder) };
    }
    return await runAnnotate({
      folder: openFolder(metadata, { readOnly: out !== undefined }),
      annotators,
      ...(out === undefined
        ? {}
        : { out: openFolder(out), carry: (name: string) => linkFile(metadata, out, name) }),
      ...pictures,
      part: options.part,
      only: options.only,
      onEvent,
      signal,
    });
  } finally {
    await closeAll(annotators);
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
