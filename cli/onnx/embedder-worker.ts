/**
 * A thread that holds a whole model, both towers: pictures come to it as bytes and are made into floats here, so that
 * the main thread goes on reading and decoding.
 */
import { workerData } from 'node:worker_threads';
import { type Embedder, embedderOf } from '../../src/clip/embedder.ts';
import type { PreprocessConfig } from '../../src/image/preprocess-config.ts';
import { answerQuestions } from '../threads/answering.ts';
import { type CheckpointFiles, openClip } from './clip.ts';

export interface EmbedderSpec {
  files: CheckpointFiles;
  preprocess: PreprocessConfig;
  threads: number;
  /** Pictures a run, at most. */
  batch: number;
}

export type Question =
  | { kind: 'describe' }
  | { kind: 'pictures'; pictures: Uint8Array[] }
  | { kind: 'texts'; ids: Int32Array[] }
  | { kind: 'release' };

export type Description = Omit<Embedder, 'embedPictures' | 'embedTexts' | 'release'>;

/** Rows of embeddings, or what was asked for. */
export type Answer = Float32Array | Description | undefined;

await answerQuestions<Question, Answer>(async () => {
  const { files, preprocess, threads, batch } = workerData as EmbedderSpec;
  const clip = embedderOf(await openClip(files, { threads, worker: false }), preprocess, batch);
  const { embedPictures, embedTexts, release, ...description } = clip;
  const rows = (data: Float32Array) => ({ answer: data, transfer: [data.buffer as ArrayBuffer] });
  return async (question) => {
    switch (question.kind) {
      case 'describe':
        return { answer: description };
      case 'pictures':
        return rows(await embedPictures(question.pictures));
      case 'texts':
        return rows(await embedTexts(question.ids));
      case 'release':
        await release();
        return { answer: undefined };
    }
  };
});
