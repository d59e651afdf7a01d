/** From `--safety` specs to annotators. */
import { readFile } from 'node:fs/promises';
import { basename, extname } from 'node:path';
import { textClassifierAnnotator, wordsAnnotator } from '../../src/annotate/captions.ts';
import { hashesAnnotator, nsfwjsAnnotator } from '../../src/annotate/pictures.ts';
import type { Annotator } from '../../src/annotate/types.ts';
import { messageOf, UsageError } from '../../src/errors.ts';
import { parseWordList, type WordList, WordMatcher } from '../../src/safety/words/words.ts';
import type { PictureReading } from '../../src/score/judge.ts';
import type { DownloadOptions } from '../hub/download.ts';
import { slugOf } from '../models/spec.ts';
import { type EmbeddingSpace, openConcepts, openKnownHead } from './heads.ts';
import { openNsfwjs } from './nsfwjs.ts';
import type { SafetySpec } from './specs.ts';
import { openTextClassifier } from './text-classifier.ts';
import { builtInWords } from './words.ts';

export interface SafetyContext extends DownloadOptions {
  /** The models whose embeddings are there, or will be. */
  spaces: readonly EmbeddingSpace[];
  reading: PictureReading;
  /** Threads of one run of a model. */
  threads?: number;
}

/**
 * One annotator a spec, in their order; whoever asks closes them. Throws `UsageError`, `ModelError`, `DownloadError`:
 * what is not there, or does not fit the embeddings, is told before anything is judged.
 */
export async function openSafety(specs: readonly SafetySpec[], context: SafetyContext): Promise<Annotator[]> {
  const annotators: Annotator[] = [];
  try {
    for (const spec of specs) {
      const annotator = await openOne(spec, context);
      annotators.push(annotator);
      checkApart(annotators);
    }
    return annotators;
  } catch (error) {
    await closeAll(annotators);
    throw error;
  }
}

export async function closeAll(annotators: readonly Annotator[]): Promise<void> {
  await Promise.all(annotators.map((annotator) => annotator.close?.()));
}

async function openOne(spec: SafetySpec, context: SafetyContext): Promise<Annotator> {
  const { reading, threads } = context;
  const sessions = threads === undefined ? {} : { threads };
  switch (spec.kind) {
    case 'nsfwjs':
      return nsfwjsAnnotator(await openNsfwjs(sessions), reading);
    case 'hashes':
      return hashesAnnotator(reading);
    case 'words':
      return openWords(spec.list);
    case 'text': {
      const { classifier, name, revision, slug } = await openTextClassifier(spec.model, {
        ...context,
        ...sessions,
      });
      return textClassifierAnnotator(classifier, slug, {
        name,
        ...(revision === undefined ? {} : { revision }),
      });
    }
    case 'known':
      return openKnownHead(spec.alias, context);
    case 'head':
      return openKnownHead(spec.file, context);
    case 'concepts':
      return openConcepts(spec.file, context);
  }
}

/** A file where there is one of that name, else the language of a built-in list. */
async function openWords(list: string | undefined): Promise<Annotator> {
  if (list === undefined) return wordsAnnotator(new WordMatcher([await builtInWords('en')]));
  const isLanguage = /^[a-z]{2,3}(?:-[\w-]+)?$/i.test(list);
  const bytes = await readFile(list).catch((cause: unknown) => {
    if (isLanguage) return undefined;
    throw new UsageError(`the word list cannot be read: ${messageOf(cause)}`, { file: list, cause });
  });
  const name = slugOf(basename(list, extname(list)));
  const words: WordList =
    bytes === undefined ? await builtInWords(list) : parseWordList(name, new Uint8Array(bytes), list);
  return wordsAnnotator(new WordMatcher([words]), name);
}

/** Throws `UsageError` where two specs would make one group, or one column. */
function checkApart(annotators: readonly Annotator[]): void {
  const last = annotators[annotators.length - 1];
  const names = new Set(last.schema.map(({ name }) => name));
  for (const other of annotators.slice(0, -1)) {
    const shared = other.schema.find(({ name }) => names.has(name))?.name;
    if (other.group !== last.group && shared === undefined) continue;
    throw new UsageError(`two of --safety would make ${shared ?? last.group}`, {
      hint: 'Leave one out, or give one of the heads another name',
    });
  }
}
