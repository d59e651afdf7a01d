/**
 * A shard as lines: one a sample as they are scored, and the accounting at the end.
 *
 * Contract: lines come in runs of `WINDOW` scored samples, each kind in the shard's order. The last line is an `end`,
 * whatever happens but the reader going away: `seen` is the number of lines before it, `scored` plus all of `skipped`.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { annotateTable } from '../../src/annotate/table.ts';
import { type Annotator, needsPictures } from '../../src/annotate/types.ts';
import { SampleError, ShardError } from '../../src/errors.ts';
import type { ImageDecoder } from '../../src/image/types.ts';
import type { ByteSource } from '../../src/io/bytes.ts';
import { type ScoredBatch, type ShardEnd, scoreBatches } from '../../src/score/batches.ts';
import type { PairOptions } from '../../src/webdataset/pair.ts';
import { countDone } from './metrics.ts';
import { patient } from './patient.ts';
import { Problem, problemOf, typeOf } from './problems.ts';
import type { ServedModel, Service } from './service.ts';
import type { EndLine, SampleLine, SkippedLine } from './shard-schemas.ts';

/** Scored samples a run of lines has: one batch of the image tower. */
const WINDOW = 16;

export interface ShardRequest {
  source: ByteSource;
  /** Part of the uids that the samples' JSON does not give. */
  shard: string;
  models: readonly ServedModel[];
  annotators: readonly Annotator[];
  /** Say the captions again. */
  captions: boolean;
  pair: Omit<PairOptions, 'shardBase'>;
  signal: AbortSignal;
  /** Told what the engine failed with, of which the reader learns only that it did. */
  onFailure(problem: Problem): void;
}

export type ShardLine = SampleLine | SkippedLine | EndLine;

/** Throws `Problem` before the first line, where the body is no shard at all. */
export async function* shardLines(
  service: Service,
  request: ShardRequest,
): AsyncGenerator<ShardLine, void, undefined> {
  const { annotators, source, signal } = request;
  // A shard's sender waits as long as it must: what is full now is asked again.
  const models = request.models.map((model) => ({ ...model, clip: patient(model.clip) }));
  const { limits, gunzip, fit = 'open_clip', hasher = portableHasher } = service;
  const hash = hasher();
  const pictured = annotators.filter(needsPictures);
  const counts = {
    seen: 0,
    scored: 0,
    skipped: {} as { [reason: string]: number },
    captions_truncated: 0,
    bytes: 0,
  };
  let end: ShardEnd | undefined;
  let failure: Problem | undefined;
  try {
    for await (const batch of scoreBatches(source, {
      ...{ shard: request.shard, models, fit, pair: request.pair, gunzip, signal },
      decoder: withinPixels(service.decoder, limits.imagePixels),
      embeddings: annotators.some(({ needs }) => needs.some((need) => need.startsWith('embeddings:'))),
      judges: pictured.map(({ pictures }) => pictures),
      window: WINDOW,
      salvage: true,
      memory: { readBytes: limits.shardBytes, decodedPixels: limits.decodedPixels },
      caps: { member: limits.imageBytes, text: limits.imageBytes, sample: 2 * limits.imageBytes },
      onBytes(chunk) {
        counts.bytes += chunk.length;
        hash.update(chunk);
      },
    })) {
      const lines = [...(await sampleLines(batch, request, pictured)), ...skippedLines(batch)];
      counts.scored += batch.rows.length;
      counts.seen += lines.length;
      for (const { reason } of batch.skipped) counts.skipped[reason] = (counts.skipped[reason] ?? 0) + 1;
      for (const { slug } of models) counts.captions_truncated += batch.captionsTruncated[slug];
      const done = { images: batch.rows.length, captions: batch.rows.length };
      countDone(
        service.metrics,
        models.map(({ slug }) => slug),
        done,
      );
      end = batch.end;
      yield* lines;
    }
    if (end?.truncated !== undefined) failure = problemOfShard(end.truncated);
  } catch (error) {
    if (signal.aborted) throw error;
    failure = error instanceof ShardError ? problemOfShard(error) : problemOf(error);
    if (failure.kind === 'internal') request.onFailure(failure);
    if (counts.seen === 0) throw failure;
  }
  yield {
    kind: 'end',
    complete: failure === undefined,
    ...counts,
    ...(end?.readToEnd === true ? { sha256: hash.digest() } : {}),
    models: models.map(({ name, slug, fingerprint }) => ({ name, slug, fingerprint })),
    ...(failure === undefined ? {} : { problem: documentOf(failure) }),
  };
}

async function sampleLines(
  { rows, clips, judged }: ScoredBatch,
  { shard, annotators, captions }: ShardRequest,
  pictured: readonly Annotator[],
): Promise<SampleLine[]> {
  const groups = await annotateTable(
    {
      shard,
      table: { rows, clips },
      judged: new Map(pictured.map((annotator, i) => [annotator, judged[i]])),
    },
    annotators,
  );
  const columns = groups.flatMap((group) => group.columns);
  return rows.map((row, i) => ({
    kind: 'scored',
    key: row.key,
    uid: row.uid,
    ...(captions ? { caption: row.text } : {}),
    width: row.original_width,
    height: row.original_height,
    scores: Object.fromEntries(clips.map(({ slug, scores }) => [slug, scores[i]])),
    ...(annotators.length === 0
      ? {}
      : { safety: Object.fromEntries(columns.map(({ name, values }) => [name, plain(values[i])])) }),
  }));
}

function skippedLines({ skipped }: ScoredBatch): SkippedLine[] {
  return skipped.map(({ key, uid, reason, detail }) => ({
    kind: 'skipped',
    key,
    ...(uid === undefined ? {} : { uid }),
    reason,
    detail,
  }));
}

function plain(value: unknown): string | number | null {
  return typeof value === 'string' || (typeof value === 'number' && Number.isFinite(value)) ? value : null;
}

/** A stream that stops too long is wrapped by the reader on its way here. */
function problemOfShard(error: ShardError): Problem {
  return error.cause instanceof Problem
    ? error.cause
    : new Problem('invalid', error.message, { cause: error });
}

function documentOf(problem: Problem): EndLine['problem'] {
  return { type: typeOf(problem.kind), status: problem.status, detail: problem.message };
}

/** A picture that the API would refuse is skipped. */
function withinPixels(decoder: ImageDecoder, most: number): ImageDecoder {
  return {
    name: decoder.name,
    async decode(bytes, header, options) {
      const { width, height } = header;
      if (width * height <= most) return decoder.decode(bytes, header, options);
      throw new SampleError('image_too_large', `${width} × ${height} pixels are more than ${most}`);
    },
  };
}

function portableHasher() {
  const hash = sha256.create();
  return {
    update(bytes: Uint8Array): void {
      hash.update(bytes);
    },
    digest: () => bytesToHex(hash.digest()),
  };
}
