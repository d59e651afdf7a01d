/**
 * NSFWJS's weights as they ship with Shardsieve: a safetensors file of the package's own bytes, one uint8 a weight,
 * and in its metadata, under `quantization`, JSON `{ name: [scale, min] }`.
 */
import { ModelError } from '../../errors.ts';
import { parseSafetensorsHeader, type TensorTable } from '../../onnx/safetensors.ts';

const HINT = 'Use the file that ships with shardsieve, assets/nsfwjs/mobilenet_v2.safetensors';

export class NsfwjsWeights {
  readonly #bytes: Uint8Array;
  readonly #table: TensorTable;
  readonly #ranges: Readonly<Record<string, unknown>>;
  readonly #unused: Set<string>;

  /** `file` is for messages. Throws `ModelError` where the bytes are no such file. */
  constructor(bytes: Uint8Array, file: string) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const header = bytes.length < 8 ? 0 : Number(view.getBigUint64(0, true));
    if (header < 2 || header > bytes.length - 8) {
      throw new ModelError('the classifier is no safetensors file', { file, hint: HINT });
    }
    this.#bytes = bytes;
    this.#table = parseSafetensorsHeader(bytes.subarray(8, 8 + header), bytes.length, file);
    this.#ranges = this.#parseRanges();
    this.#unused = new Set(this.#table.tensors.keys());
  }

  /**
   * A tensor as TensorFlow.js 4.22 decodes it (`decodeWeight`): `v * scale + min` in float64, rounded to float32.
   * Throws `ModelError` where it is missing, has another shape, or no finite scale.
   */
  get(tensor: string, shape: readonly number[]): Float32Array {
    const entry = this.#table.tensors.get(tensor);
    if (entry === undefined) throw this.#error('lacks a tensor', tensor);
    if (entry.dtype !== 'U8' || entry.shape.join() !== shape.join()) {
      throw this.#error(`has ${entry.dtype} [${entry.shape}] where U8 [${shape}] was expected`, tensor);
    }
    const range = this.#ranges[tensor];
    if (!Array.isArray(range) || range.length !== 2 || !range.every(Number.isFinite)) {
      throw this.#error('has no scale and minimum', tensor);
    }
    this.#unused.delete(tensor);
    const [scale, min] = range as [number, number];
    const stored = this.#bytes.subarray(entry.offset, entry.offset + entry.length);
    return Float32Array.from(stored, (v) => v * scale + min);
  }

  /** Throws `ModelError` where the file holds tensors that nobody asked for: it is of another network. */
  finish(): void {
    for (const tensor of this.#unused)
      throw this.#error('has a tensor that the network does not know', tensor);
  }

  #parseRanges(): Record<string, unknown> {
    try {
      const parsed: unknown = JSON.parse(this.#table.metadata['quantization'] ?? '');
      if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>;
    } catch {
      // Told below.
    }
    throw this.#error('has no quantization in its metadata');
  }

  #error(problem: string, tensor?: string): ModelError {
    return new ModelError(`the classifier ${problem}`, { file: this.#table.file, tensor, hint: HINT });
  }
}
