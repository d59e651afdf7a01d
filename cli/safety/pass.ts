/** Safety columns in the pass that scores, and for shards that were scored before. */
import { annotate } from '../../src/annotate/job.ts';
import { tarPictures } from '../../src/annotate/tars.ts';
import type { Annotator } from '../../src/annotate/types.ts';
import { UsageError } from '../../src/errors.ts';
import type { Folder } from '../../src/io/bytes.ts';
import { readRun } from '../../src/metadata/run.ts';
import type { NamedSource, WantedModel } from '../../src/run/score-job.ts';
import type { ScoreTotals } from '../../src/run/totals.ts';
import type { PictureReading } from '../../src/score/judge.ts';
import { createDecoder } from '../decode/decoder.ts';
import { gunzipNode } from '../io/gunzip.ts';
import { fastDecodeOf, wantModels } from '../jobs/models.ts';
import type { ScoreOptions } from '../jobs/score.ts';
import { type EmbeddingSpace, embeddingModel } from './heads.ts';
import { closeAll, openSafety } from './open.ts';
import { ownSpaces } from './spaces.ts';
import { parseSafety } from './specs.ts';

export interface SafetyPass {
  annotators: Annotator[];
  reading: PictureReading;
  /** Adds what shards lack that were scored before: from their embeddings, and for pictures from the tars. */
  complete(totals: ScoreTotals, sources: readonly NamedSource[]): Promise<void>;
  close(): Promise<void>;
}

/** Throws what `openSafety` throws, before anything is scored. */
export async function openPass(
  options: ScoreOptions,
  models: readonly WantedModel[],
  folder: Folder,
): Promise<SafetyPass> {
  const { signal, threads, fit = 'open_clip', uid = 'json', onEvent = () => {} } = options;
  const reading = { decoder: createDecoder({ fastDecode: fastDecodeOf(models[0]) }), fit };
  const download = {
    signal,
    onNote: (text: string) => onEvent({ type: 'note', text }),
    ...(options.onDownload === undefined ? {} : { onProgress: options.onDownload }),
  };
  const specs = parseSafety(options.safety ?? []);
  const annotators: Annotator[] = [];
  if (specs.length > 0) {
    const spaces = models.map(
      (wanted, i): EmbeddingSpace => ({
        slug: wanted.slug,
        model: embeddingModel(wanted.entry),
        // Prompts are embedded in fp32 on the CPU whatever the pass runs in: once, and the same here and later.
        want: async () =>
          wanted.entry['precision'] === 'fp32' && wanted.entry['provider'] === 'cpu'
            ? wanted
            : (await wantModels({ models: options.models?.slice(i, i + 1), threads }, download))[0],
      }),
    );
    const before = await readRun(folder);
    const others = before === undefined ? [] : ownSpaces(before, download).spaces;
    const isNew = ({ slug }: EmbeddingSpace) => !models.some((wanted) => wanted.slug === slug);
    const all = [...spaces, ...others.filter(isNew)];
    annotators.push(...(await openSafety(specs, { ...download, spaces: all, reading, threads })));
  }
  if (options.fastDecode && annotators.some((annotator) => 'pictures' in annotator)) {
    await closeAll(annotators);
    throw new UsageError('--fast-decode would change what hashes and classifiers of pictures see', {
      hint: 'Leave it out, or make those columns afterwards: shardsieve annotate',
    });
  }
  return {
    annotators,
    reading,
    async complete({ shards }, sources) {
      const only = new Set([...shards.done, ...shards.reused]);
      if (annotators.length === 0 || only.size === 0) return;
      const { onNote } = download;
      await annotate({
        ...{ folder, annotators, only, reading, signal },
        pictures: tarPictures({ sources, uid, inOrder: true, gunzip: gunzipNode, onNote, signal }),
        onEvent(event) {
          if (event.type === 'note') onEvent(event);
          if (event.type === 'plan' && event.pending > 0) {
            onNote(`adding safety columns to ${event.pending} shards that were scored before`);
          }
        },
      });
    },
    close: () => closeAll(annotators),
  };
}
