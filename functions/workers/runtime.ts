/**
 * onnxruntime-web's compiled runtime without the JavaScript around it, for isolates of 128 MB: its memory has a hard size,
 * a model's bytes are written into it once and used where they lie, and nothing is copied or rearranged.
 *
 * What is called here, and the names that the compiled module imports, belong to one exact version of onnxruntime-web
 * (`ORT_VERSION`), which package.json pins. One thread, one run at a time.
 */
import factory, { type OrtModule } from 'onnxruntime-web/ort-wasm-simd-threaded.mjs';
import { ModelError, messageOf } from '../../src/errors.ts';
import type { Session, SessionFactory } from '../../src/onnx/session.ts';
import { createSession, EdgeSession, IN_PLACE, LEAN, LOG_FATAL, lastError, Scratch } from './session.ts';

export const ORT_VERSION = '1.30.0';

/** Bytes of a page of WebAssembly memory. */
const PAGE = 65_536;
/** What the factory asks for, whatever it is then given. */
const FACTORY_MAXIMUM = 65_536;

/** Where a model's bytes come from: writes all of them, in order, and says when they were too few or too many. */
export type Pour = (write: (chunk: Uint8Array) => void) => Promise<void>;

export class EdgeRuntime implements SessionFactory {
  readonly location = '';
  readonly provider = 'wasm';
  readonly #ort: OrtModule;
  readonly #memory: WebAssembly.Memory;

  private constructor(ort: OrtModule, memory: WebAssembly.Memory) {
    this.#ort = ort;
    this.#memory = memory;
  }

  /** Starts the compiled module with a memory of `mebibytes`, which never grows. Throws `ModelError`. */
  static async start(wasm: WebAssembly.Module, mebibytes: number): Promise<EdgeRuntime> {
    const pages = (mebibytes * 2 ** 20) / PAGE;
    // All of it at once: left to itself the runtime grows by a fifth more than it needs.
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    try {
      const ort = await withMemory(memory, () =>
        factory({
          numThreads: 1,
          instantiateWasm(imports, done) {
            WebAssembly.instantiate(wasm, imports).then((instance) => done(instance, wasm));
          },
        }),
      );
      if (ort._OrtInit(1, LOG_FATAL) !== 0) throw new Error(lastError(ort));
      return new EdgeRuntime(ort, memory);
    } catch (cause) {
      throw new ModelError(`onnxruntime cannot start: ${messageOf(cause)}`, { cause });
    }
  }

  /** Bytes of memory, all in all. */
  get size(): number {
    return this.#memory.buffer.byteLength;
  }

  /** The most that was ever in use, in bytes: memory is taken from below, and is zero until it is. */
  touched(): number {
    const words = new BigUint64Array(this.#memory.buffer);
    let end = words.length;
    while (end > 0 && words[end - 1] === 0n) end--;
    return 8 * end;
  }

  /** Loads a model of `bytes` in the runtime's own format. Throws `ModelError`. */
  async load(bytes: number, pour: Pour): Promise<Session> {
    const ort = this.#ort;
    const address = ort._malloc(bytes);
    if (address === 0) {
      throw new ModelError(`a model of ${bytes} bytes does not fit into ${this.size} bytes of memory`, {
        hint: 'docs/edge.md says what to do if it does not fit',
      });
    }
    try {
      let at = 0;
      await pour((chunk) => {
        if (at + chunk.length > bytes) throw new ModelError(`the model is longer than ${bytes} bytes`);
        ort.HEAPU8.set(chunk, address + at);
        at += chunk.length;
      });
      if (at !== bytes) throw new ModelError(`the model ends after ${at} of ${bytes} bytes`);
      // The bytes stay: the session's weights are these.
      return new EdgeSession(ort, await createSession(ort, address, bytes, IN_PLACE), address);
    } catch (cause) {
      ort._free(address);
      if (cause instanceof ModelError) throw cause;
      throw new ModelError(`onnxruntime cannot load the model: ${messageOf(cause)}`, { cause });
    }
  }

  /** Loads an ONNX graph that holds its weights, of which the runtime makes a copy of its own. Throws `ModelError`. */
  async create(graph: Uint8Array): Promise<Session> {
    const scratch = new Scratch(this.#ort);
    try {
      const address = scratch.take(graph.length);
      this.#ort.HEAPU8.set(graph, address);
      return new EdgeSession(this.#ort, await createSession(this.#ort, address, graph.length, LEAN), 0);
    } catch (cause) {
      throw new ModelError(`onnxruntime cannot load the graph: ${messageOf(cause)}`, { cause });
    } finally {
      scratch.free();
    }
  }
}

/**
 * Until it first waits, the factory looks whether this is Node (it has a `process` under workerd too, and would then look
 * for files), and makes its memory: it is shown no `process`, and handed ours.
 */
function withMemory<T>(memory: WebAssembly.Memory, start: () => T): T {
  const original = WebAssembly.Memory;
  const process = Object.getOwnPropertyDescriptor(globalThis, 'process');
  const Ours = new Proxy(original, {
    construct: (made, [descriptor]: [WebAssembly.MemoryDescriptor]) =>
      descriptor.maximum === FACTORY_MAXIMUM ? memory : new made(descriptor),
  });
  Object.assign(WebAssembly, { Memory: Ours });
  Object.defineProperty(globalThis, 'process', { value: undefined, configurable: true, writable: true });
  try {
    return start();
  } finally {
    Object.assign(WebAssembly, { Memory: original });
    if (process === undefined) Reflect.deleteProperty(globalThis, 'process');
    else Object.defineProperty(globalThis, 'process', process);
  }
}
