/** An open_clip checkpoint as an `Embedder` that uses the whole machine. */
import { stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { type Batch, backingOff, LARGEST_TRIED, measureBatch } from '../../src/clip/batch.ts';
import { type Embedder, embedderOf } from '../../src/clip/embedder.ts';
import { pooled } from '../../src/clip/pool.ts';
import { ModelError } from '../../src/errors.ts';
import type { PreprocessConfig } from '../../src/image/preprocess-config.ts';
import { CPU, type Device } from '../devices/spec.ts';
import { AskedThread } from '../threads/asking.ts';
import { type CheckpointFiles, openClip } from './clip.ts';
import type { Answer, Description, EmbedderSpec, Question } from './embedder-worker.ts';

export interface EmbedderOptions {
  /** Threads of the towers, all together; the machine's cores where absent. */
  threads?: number;
  /** What runs the towers; the CPU where absent. */
  device?: Device;
  /** Pictures a run; the device's own number where absent. */
  batch?: Batch;
  /** What is found or given up on the way. */
  onNote?: (text: string) => void;
}

// The compiled package holds .js, the repository .ts.
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './embedder-worker.ts' : './embedder-worker.js',
  import.meta.url,
);

/**
 * Two copies of the model are a quarter quicker than one with twice the threads: after every operator the threads of one
 * run wait for each other, and longest where decoding takes a core away. More copies would cost memory only.
 */
const COPIES = 2;
/** Bytes of weights up to which they are held twice: the runtime rearranges them for each copy. */
const MAX_COPIED = 1e9;

/**
 * Pictures a run. On a CPU 4 to 8 take 1 to 2% less than 16, as what passes from layer to layer stays in its caches; a GPU
 * has its kernels to fill.
 */
export const defaultBatch = ({ kind }: Device): number => (kind === 'cpu' ? 8 : 64);

/**
 * Loads both towers; with `batch: 'auto'` runs them too, to see what is quickest. Where memory runs out later, half as
 * many pictures are run at once. Throws `ModelError`, `DeviceError`.
 */
export async function openEmbedder(
  files: CheckpointFiles,
  preprocess: PreprocessConfig,
  options: EmbedderOptions = {},
): Promise<Embedder> {
  const { device = CPU, onNote = () => {} } = options;
  const asked = options.batch ?? defaultBatch(device);
  const clip = await open(files, preprocess, options, asked === 'auto' ? LARGEST_TRIED : asked);
  let batch = asked;
  if (batch === 'auto') {
    const measured = await measureBatch(clip, () => performance.now());
    batch = measured.batch;
    const rates = measured.rates.map(({ size, perSecond }) => `${size}: ${perSecond}`).join(', ');
    onNote(`${batch} pictures at once are quickest here (pictures/s by size: ${rates})`);
  }
  const effect =
    device.kind === 'cpu'
      ? 'no number changes by it'
      : 'the last bits of scores may differ from those before';
  return backingOff(clip, batch, (less) => {
    onNote(`memory does not suffice: from here on ${less} pictures at once; slower, and ${effect}`);
  });
}

async function open(
  files: CheckpointFiles,
  preprocess: PreprocessConfig,
  options: EmbedderOptions,
  batch: number,
): Promise<Embedder> {
  const { device = CPU } = options;
  if (device.kind !== 'cpu') return embedderOf(await openClip(files, options), preprocess, batch);
  const threads = options.threads ?? availableParallelism();
  const copies = threads >= COPIES && (await weigh(files)) <= MAX_COPIED ? COPIES : 1;
  const specOf = (threads: number): EmbedderSpec => ({ files, preprocess, threads, batch });
  const started = await Promise.allSettled(shared(threads, copies).map((part) => startThread(specOf(part))));
  const failed = started.find((result) => result.status === 'rejected');
  const made = started.flatMap((result) => (result.status === 'fulfilled' ? result.value : []));
  if (failed === undefined) return pooled(made);
  await Promise.all(made.map((copy) => copy.release()));
  throw failed.reason;
}

/** Threads of each copy, the first ones having one more where they do not divide. */
export function shared(threads: number, copies: number): number[] {
  return Array.from({ length: copies }, (_, i) => Math.floor((threads + copies - 1 - i) / copies));
}

async function weigh({ weights, quantised }: CheckpointFiles): Promise<number> {
  // What is wrong with a file is said by whoever reads it.
  return stat(quantised?.path ?? weights).then(
    ({ size }) => size,
    () => 0,
  );
}

/** One copy, in a thread of its own. */
async function startThread(spec: EmbedderSpec): Promise<Embedder> {
  const thread = new AskedThread<Question, Answer>("the model's thread", WORKER, spec);
  const released = new ModelError('the model was released before this run');
  try {
    await thread.ready;
    const description = (await thread.ask({ kind: 'describe' })) as Description;
    return {
      ...description,
      // Copied, not sent over: the caller's pictures stay his.
      embedPictures: (pictures) => thread.ask({ kind: 'pictures', pictures: pictures.map(alone) }) as Rows,
      embedTexts: (ids) => thread.ask({ kind: 'texts', ids: ids.map(alone) }) as Rows,
      async release() {
        const freed = thread.ask({ kind: 'release' }).catch(() => undefined);
        await Promise.all([freed, thread.close(released)]);
      },
    };
  } catch (error) {
    await thread.close(released);
    throw error;
  }
}

type Rows = Promise<Float32Array>;

/** A clone takes the whole buffer along, however little of it is seen. */
function alone<T extends Uint8Array | Int32Array>(part: T): T {
  return part.byteLength === part.buffer.byteLength ? part : (part.slice() as T);
}
