/** One session of the compiled runtime: what is asked of it, address by address. */
import type { OrtModule } from 'onnxruntime-web/ort-wasm-simd-threaded.mjs';
import { ModelError, messageOf } from '../../src/errors.ts';
import type { Session, Tensor } from '../../src/onnx/session.ts';

/** ONNX's numbers for the types. */
const TYPE = { float32: 1, int32: 6, int64: 7 } as const;
const ON_CPU = 1;
export const LOG_FATAL = 4;
/** ORT_ENABLE_BASIC; a model in the runtime's own format was optimised when it was written. */
const OPTIMISE = 1;

/** Keeps no rearranged copies of the matrices. */
export const LEAN = { 'session.disable_prepacking': '1' };
/** Uses a model in the runtime's own format where its bytes lie. */
export const IN_PLACE = {
  ...LEAN,
  'session.use_ort_model_bytes_directly': '1',
  'session.use_ort_model_bytes_for_initializers': '1',
};

export class EdgeSession implements Session {
  readonly #ort: OrtModule;
  #handle: number;
  readonly #model: number;
  readonly #outputs: readonly string[];

  constructor(ort: OrtModule, handle: number, model: number) {
    this.#ort = ort;
    this.#handle = handle;
    this.#model = model;
    this.#outputs = outputNames(ort, handle);
  }

  async run(feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    if (this.#handle === 0) throw new ModelError('the model was released before this run');
    try {
      return runOnce(this.#ort, this.#handle, feeds, this.#outputs);
    } catch (cause) {
      throw new ModelError(`onnxruntime failed in a run: ${messageOf(cause)}`, { cause });
    }
  }

  async release(): Promise<void> {
    if (this.#handle === 0) return;
    this.#ort._OrtReleaseSession(this.#handle);
    if (this.#model !== 0) this.#ort._free(this.#model);
    this.#handle = 0;
  }
}

/** What is allocated in the course of one call, and freed at its end. */
export class Scratch {
  readonly #ort: OrtModule;
  readonly #addresses: number[] = [];

  constructor(ort: OrtModule) {
    this.#ort = ort;
  }

  take(bytes: number): number {
    const address = this.#ort._malloc(Math.max(1, bytes));
    if (address === 0) throw new Error(`out of memory for ${bytes} bytes`);
    this.#addresses.push(address);
    return address;
  }

  text(text: string): number {
    const bytes = this.#ort.lengthBytesUTF8(text) + 1;
    const address = this.take(bytes);
    this.#ort.stringToUTF8(text, address, bytes);
    return address;
  }

  words(values: readonly number[]): number {
    const address = this.take(4 * values.length);
    this.#ort.HEAPU32.set(values, address / 4);
    return address;
  }

  free(): void {
    for (const address of this.#addresses) this.#ort._free(address);
  }
}

export async function createSession(
  ort: OrtModule,
  model: number,
  bytes: number,
  settings: Readonly<Record<string, string>>,
): Promise<number> {
  const scratch = new Scratch(ort);
  // No arena, no memory pattern: both keep what a run has freed.
  const options = ort._OrtCreateSessionOptions(OPTIMISE, false, false, 0, false, 0, 0, LOG_FATAL, 0, 0);
  try {
    if (options === 0) throw new Error(lastError(ort));
    for (const [key, value] of Object.entries(settings)) {
      const code = ort._OrtAddSessionConfigEntry(options, scratch.text(key), scratch.text(value));
      if (code !== 0) throw new Error(lastError(ort));
    }
    const session = await ort._OrtCreateSession(model, bytes, options);
    if (session === 0) throw new Error(lastError(ort));
    return session;
  } finally {
    if (options !== 0) ort._OrtReleaseSessionOptions(options);
    scratch.free();
  }
}

function outputNames(ort: OrtModule, session: number): string[] {
  const scratch = new Scratch(ort);
  try {
    const counts = scratch.take(8);
    if (ort._OrtGetInputOutputCount(session, counts, counts + 4) !== 0) throw new Error(lastError(ort));
    const [inputs, outputs] = ort.HEAPU32.slice(counts / 4, counts / 4 + 2);
    return Array.from({ length: outputs }, (_, i) => {
      const found = scratch.take(8);
      if (ort._OrtGetInputOutputMetadata(session, inputs + i, found, found + 4) !== 0) {
        throw new Error(lastError(ort));
      }
      const [name, metadata] = ort.HEAPU32.slice(found / 4, found / 4 + 2);
      const text = ort.UTF8ToString(name);
      ort._OrtFree(name);
      ort._OrtFree(metadata);
      return text;
    });
  } finally {
    scratch.free();
  }
}

/** From the first byte written to the last one read nothing is awaited, so that runs cannot overlap. */
function runOnce(
  ort: OrtModule,
  session: number,
  feeds: Readonly<Record<string, Tensor>>,
  outputs: readonly string[],
): Record<string, Tensor> {
  const scratch = new Scratch(ort);
  const tensors: number[] = [];
  try {
    for (const { type, dims, data } of Object.values(feeds)) {
      const address = scratch.take(data.byteLength);
      ort.HEAPU8.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), address);
      const shape = scratch.words(dims);
      const tensor = ort._OrtCreateTensor(TYPE[type], address, data.byteLength, shape, dims.length, ON_CPU);
      if (tensor === 0) throw new Error(lastError(ort));
      tensors.push(tensor);
    }
    const names = (list: readonly string[]) => scratch.words(list.map((name) => scratch.text(name)));
    const answers = scratch.words(outputs.map(() => 0));
    const inputNames = names(Object.keys(feeds));
    const inputs = scratch.words(tensors);
    const code = ort._OrtRun(
      ...([session, inputNames, inputs, tensors.length, names(outputs), outputs.length, answers, 0] as const),
    );
    if (code !== 0) throw new Error(lastError(ort));
    const handles = [...ort.HEAPU32.slice(answers / 4, answers / 4 + outputs.length)];
    tensors.push(...handles);
    return Object.fromEntries(outputs.map((name, i) => [name, readTensor(ort, scratch, handles[i])]));
  } finally {
    for (const tensor of tensors) ort._OrtReleaseTensor(tensor);
    scratch.free();
  }
}

function readTensor(ort: OrtModule, scratch: Scratch, tensor: number): Tensor {
  const out = scratch.take(16);
  if (ort._OrtGetTensorData(tensor, out, out + 4, out + 8, out + 12) !== 0) throw new Error(lastError(ort));
  const [type, data, dimsAt, rank] = ort.HEAPU32.slice(out / 4, out / 4 + 4);
  const dims = [...ort.HEAPU32.slice(dimsAt / 4, dimsAt / 4 + rank)];
  ort._OrtFree(dimsAt);
  const size = dims.reduce((a, b) => a * b, 1);
  const bytes = (width: number) => ort.HEAPU8.slice(data, data + width * size).buffer as ArrayBuffer;
  if (type === TYPE.float32) return { type: 'float32', dims, data: new Float32Array(bytes(4)) };
  if (type === TYPE.int32) return { type: 'int32', dims, data: new Int32Array(bytes(4)) };
  if (type === TYPE.int64) return { type: 'int64', dims, data: new BigInt64Array(bytes(8)) };
  throw new Error(`an answer has ONNX's type ${type}`);
}

export function lastError(ort: OrtModule): string {
  const at = ort._malloc(8);
  if (at === 0) return 'out of memory';
  ort._OrtGetLastError(at, at + 4);
  const [code, message] = ort.HEAPU32.slice(at / 4, at / 4 + 2);
  ort._free(at);
  return message === 0 ? `error ${code}` : ort.UTF8ToString(message);
}
