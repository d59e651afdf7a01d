/**
 * NSFWJS's classifier (github.com/infinitered/nsfwjs, MIT) without TensorFlow.js: the same weights, the same
 * preprocessing, on whatever runtime the towers run on. What it is and what it cannot see: docs/safety-classifiers.md.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { ModelError } from '../../errors.ts';
import type { Pixels } from '../../image/types.ts';
import type { Session, SessionFactory } from '../../onnx/session.ts';
import { NSFWJS_LABELS, NSFWJS_SIDE } from './architecture.ts';
import { nsfwjsGraph } from './graph.ts';
import { NSFWJS_INPUT, nsfwjsInput } from './preprocess.ts';
import { NsfwjsWeights } from './weights.ts';

/** Pictures a run: with more, the layers' outputs no longer fit the caches. */
export const NSFWJS_BATCH = 4;
/** Counts up when code changes a number. */
const VERSION = 1;

export interface Nsfwjs {
  /** What the columns of an answer stand for. */
  readonly labels: typeof NSFWJS_LABELS;
  /** Hex; of everything that decides the numbers: weights, code, provider. */
  readonly fingerprint: string;
  /** Hex SHA-256 of the weights' file, for `run.json`. */
  readonly sha256: string;
  /** Probabilities float32 `[n, 5]`, each row's sum 1. Any number of pictures of any size. Throws `ModelError`. */
  classify(pictures: readonly Pixels[]): Promise<Float32Array>;
  /**
   * The same for pictures that `nsfwjsInput` has been given, float32 `[n, 3, 224, 224]`: where pixels are not kept until
   * a batch is full.
   */
  classifyInputs(inputs: Float32Array, n: number): Promise<Float32Array>;
  /** Frees the runtime's memory; the model cannot be used afterwards. */
  release(): Promise<void>;
}

/**
 * Loads the classifier from the bytes of `assets/nsfwjs/mobilenet_v2.safetensors`. The graph holds its weights, so any
 * factory will do. Throws `ModelError` where the bytes are something else.
 */
export async function loadNsfwjs(
  weights: Uint8Array,
  sessions: SessionFactory,
  file = 'mobilenet_v2.safetensors',
): Promise<Nsfwjs> {
  const graph = nsfwjsGraph(new NsfwjsWeights(weights, file));
  return new Loaded(await sessions.create(graph), bytesToHex(sha256(weights)), sessions.provider);
}

class Loaded implements Nsfwjs {
  readonly labels = NSFWJS_LABELS;
  readonly fingerprint: string;
  readonly sha256: string;
  readonly #session: Session;

  constructor(session: Session, hash: string, provider: string) {
    this.#session = session;
    this.sha256 = hash;
    const settings = JSON.stringify(['nsfwjs', VERSION, hash, provider]);
    this.fingerprint = bytesToHex(sha256(utf8ToBytes(settings))).slice(0, 32);
  }

  async classify(pictures: readonly Pixels[]): Promise<Float32Array> {
    const width = this.labels.length;
    const out = new Float32Array(pictures.length * width);
    for (let start = 0; start < pictures.length; start += NSFWJS_BATCH) {
      const batch = pictures.slice(start, start + NSFWJS_BATCH);
      const inputs = new Float32Array(batch.length * NSFWJS_INPUT);
      for (const [i, pixels] of batch.entries()) nsfwjsInput(pixels, inputs, i * NSFWJS_INPUT);
      out.set(await this.classifyInputs(inputs, batch.length), start * width);
    }
    return out;
  }

  async classifyInputs(inputs: Float32Array, n: number): Promise<Float32Array> {
    if (!Number.isInteger(n) || n < 0 || inputs.length !== n * NSFWJS_INPUT) {
      throw new ModelError(
        `${inputs.length} values are not ${n} pictures of [3, ${NSFWJS_SIDE}, ${NSFWJS_SIDE}]`,
      );
    }
    const width = this.labels.length;
    const out = new Float32Array(n * width);
    for (let start = 0; start < n; start += NSFWJS_BATCH) {
      const count = Math.min(NSFWJS_BATCH, n - start);
      const data = inputs.subarray(start * NSFWJS_INPUT, (start + count) * NSFWJS_INPUT);
      const pixels = { type: 'float32', dims: [count, 3, NSFWJS_SIDE, NSFWJS_SIDE], data } as const;
      const answer = (await this.#session.run({ pixels }))['probabilities'];
      if (answer?.type !== 'float32' || answer.data.length !== count * width) {
        throw new ModelError('the runtime gave no probabilities of the right size', {
          hint: 'This is a bug in the runtime adapter',
        });
      }
      out.set(answer.data, start * width);
    }
    return out;
  }

  release(): Promise<void> {
    return this.#session.release();
  }
}
