import { createHash } from 'node:crypto';
import { UsageError } from '../../src/errors.ts';
import type { Fit } from '../../src/image/types.ts';
import type { Json } from '../../src/metadata/table.ts';
import type { OnEvent } from '../../src/run/events.ts';
import { rowsEntry } from '../../src/run/fingerprint.ts';
import { failuresAllowed, type MaxFailed } from '../../src/run/outcome.ts';
import { refuseUnrefined } from '../../src/run/refine-plan.ts';
import { scoreShards as runScore } from '../../src/run/score-job.ts';
import { checkTotals, type ScoreTotals } from '../../src/run/totals.ts';
import type { Gate } from '../../src/score/gate.ts';
import type { FilterInput } from '../../src/select/spec.ts';
import { openFolder } from '../io/folder.ts';
import { gunzipNode } from '../io/gunzip.ts';
import { sha256Hasher } from '../io/hash.ts';
import { openPass, type SafetyPass } from '../safety/pass.ts';
import { type ModelChoice, wantModels } from './models.ts';
import { checkRefine, marksOf, refiningOf } from './refine.ts';
import { openPart, type Shards } from './shards.ts';
import { openTrace } from './trace-file.ts';

/** How samples become rows; the same for scoring and resharding, so that both derive the same uids. */
export interface PairChoice {
  /** `txt` (default: the `.txt` member, else the JSON's `caption`) or `json:FIELD`. */
  caption?: string;
  /** `json` (default: the JSON's `uid`, else from the key), `json:FIELD` or `key`. */
  uid?: string;
  /** Fields of the JSON to copy to columns, as `json:FIELD`. */
  carry?: readonly string[];
}

export interface ScoreOptions extends Shards, ModelChoice, PairChoice {
  /** The metadata folder to write or to complete. */
  out: string;
  /** Write `<shard>.npz` with float16 unit embeddings. Default true. */
  embeddings?: boolean;
  /** Safety columns to make in the same pass: `nsfwjs`, `laion-l14`, `concepts:FILE`, … */
  safety?: readonly string[];
  /** `visual` rotates by EXIF and composites on white; default `open_clip`. */
  fit?: Fit;
  /** A pilot: stop after so many samples. */
  limit?: number;
  /** A pilot: score only this share of the samples, drawn by a hash of shard and key. */
  sample?: number;
  /** Recognise finished shards by SHA-256 too. */
  verifyInput?: boolean;
  /** Score only what failed or ended early in an earlier run. */
  retryFailed?: boolean;
  /** Stop when more shards than this failed; those that ended early count unless `allowTruncated`. */
  maxFailed?: MaxFailed;
  /** A shard that ends early is no failure. */
  allowTruncated?: boolean;
  /**
   * Filters whose subset is to be the one that fp32 would select: `refineScores`, called afterwards, scores again what
   * lies near their bounds.
   */
  refine?: readonly FilterInput[];
  /** Drops samples before they are decoded: `openPlan` makes it of filters. `entry` says by what, in `run.json`. */
  gate?: { gate: Gate; entry: Json };
  /** File for a trace of the run, in Chrome's format. */
  trace?: string;
  onEvent?: OnEvent;
  /** Download progress of models, and notes of the hub. */
  onDownload?: (progress: { file: string; received: number; total: number | undefined }) => void;
  signal?: AbortSignal;
}

/**
 * Scores shards into a folder of DataComp-style metadata and completes what is missing of one.
 *
 * Resolves with the totals also where shards failed: they are named in `shards.failed`. Throws `UsageError` for
 * arguments that make no sense, `ModelError`, `DownloadError`, `MetadataError`, `OutputError`, `AccountingError`
 * where nothing was scored, `CancelledError` on the signal.
 */
export async function scoreShards(options: ScoreOptions): Promise<ScoreTotals> {
  const onEvent = options.onEvent ?? (() => {});
  checkRefine(options);
  const { sources, record } = await openPart(options);
  const resolving = {
    signal: options.signal,
    onNote: (text: string) => onEvent({ type: 'note', text }),
    ...(options.onDownload === undefined ? {} : { onProgress: options.onDownload }),
  };
  const models = await wantModels(options, resolving);
  const { caption = 'txt', uid = 'json', carry = [] } = options;
  checkSource('caption', caption, ['txt']);
  checkSource('uid', uid, ['json', 'key']);
  for (const field of carry) checkSource('carry', field, []);
  const pair = { caption, uid, carry: [...carry] };
  const rows = { ...pair, ...(options.gate === undefined ? {} : { gate: options.gate.entry }) };
  const { limit, sample } = options;
  const folder = openFolder(options.out);
  const refining = await refiningOf(options, models, resolving);
  await refuseUnrefined(folder, models, refining);
  const { tracer, close } = await openTrace(options.trace);
  const run = (safety: SafetyPass): Promise<ScoreTotals> =>
    runScore({
      sources,
      models,
      folder,
      decoder: safety.reading.decoder,
      annotators: [...safety.annotators, ...marksOf(refining)],
      gunzip: gunzipNode,
      fit: safety.reading.fit,
      pair,
      gate: options.gate?.gate,
      rows: rowsEntry(rows),
      embeddings: options.embeddings ?? true,
      pilot: {
        limit,
        sample,
        ...(sample === undefined ? {} : { draw: (shard, key) => isDrawn(shard, key, sample) }),
      },
      verifyInput: options.verifyInput ?? false,
      part: record,
      retryFailed: options.retryFailed ?? false,
      ...(options.maxFailed === undefined
        ? {}
        : { maxFailed: failuresAllowed(options.maxFailed, sources.length) }),
      allowTruncated: options.allowTruncated ?? false,
      hasher: sha256Hasher,
      now: () => Date.now(),
      watch: tracer,
      onEvent,
      signal: options.signal,
    });
  return ending(close, async () => {
    const safety = await openPass(options, models, folder);
    return ending(safety.close, async () => {
      const totals = await run(safety);
      await safety.complete(totals, sources);
      totals.stages = Object.fromEntries(tracer.seconds);
      return totals;
    });
  });
}

/** `work`, and `close` however it ends. Where both fail, the work's error is the one that says why. */
async function ending<T>(close: () => Promise<void>, work: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await close().catch(() => {});
    throw error;
  }
  await close();
  return result;
}

export { checkTotals };

function checkSource(option: string, value: string, words: string[]): void {
  if (words.includes(value) || /^json:./.test(value)) return;
  throw new UsageError(`--${option} ${value} is not known`, {
    hint: `Use ${[...words, 'json:FIELD'].join(' or ')}`,
  });
}

/** The same samples on every run and machine: 32 bits of a hash against the share. */
function isDrawn(shard: string, key: string, share: number): boolean {
  return createHash('sha256').update(`sample/${shard}/${key}`).digest().readUInt32BE(0) < share * 2 ** 32;
}
