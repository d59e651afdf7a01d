/**
 * onnxruntime-node over a safetensors file on disk.
 *
 * The runtime refuses external data that lies, after symlinks are followed, outside the model's folder, and a hub
 * cache is made of symlinks (`snapshots/<rev>/open_clip_model.safetensors -> ../../blobs/<sha>`). So the file is
 * resolved first and its own folder is named as the model's: the weights are mapped where they lie, and nothing is
 * linked, copied or written.
 */
import { basename, dirname } from 'node:path';
import { DeviceError } from '../../src/errors.ts';
import type { AttentionForm, Session, SessionFactory } from '../../src/onnx/session.ts';
import { CPU, type Device } from '../devices/spec.ts';
import type { ModelFile } from './files.ts';
import { createRuntimeSession, type RuntimeSpec } from './runtime.ts';
import { createWorkerSession } from './threads.ts';

export interface NodeSessionOptions {
  /** Threads of one run; the runtime's own choice (the machine's cores) where absent. */
  threads?: number;
  /** Keeps no rearranged copy of the matrices: less memory, slower. */
  lean?: boolean;
  /** Runs in a thread of its own (default), so that the event loop stays free. */
  worker?: boolean;
  /**
   * `in-place` (default): the runtime maps the file; where it cannot, `memory` is tried. `memory`: the file is read
   * and handed over, which takes its size in memory while the model loads.
   */
  weights?: 'in-place' | 'memory';
  /** What runs the graphs; the CPU where absent. */
  device?: Device;
}

/** How the weights reached the runtime, for those who want to tell. */
export type WeightsRoute = 'in-place' | 'memory';

/** A factory over one weights file that remembers by which route the last session was made. */
export interface NodeSessionFactory extends SessionFactory {
  readonly route: WeightsRoute;
}

export function nodeSessions(file: ModelFile, options: NodeSessionOptions = {}): NodeSessionFactory {
  return new FileSessions(file, options);
}

class FileSessions implements NodeSessionFactory {
  readonly location: string;
  readonly provider: string;
  readonly attention: AttentionForm;
  route: WeightsRoute;
  readonly #file: ModelFile;
  readonly #options: NodeSessionOptions;

  constructor(file: ModelFile, options: NodeSessionOptions) {
    const { kind } = options.device ?? CPU;
    this.location = basename(file.path);
    this.provider = kind;
    this.attention = kind === 'cpu' ? 'fused' : 'plain';
    this.route = options.weights ?? 'in-place';
    this.#file = file;
    this.#options = options;
  }

  async create(graph: Uint8Array): Promise<Session> {
    const { threads, lean = false, worker = true, device } = this.#options;
    const start = worker ? createWorkerSession : createRuntimeSession;
    const spec: RuntimeSpec = { graph, folder: dirname(this.#file.path), threads, lean, device };
    if (this.route === 'in-place') {
      try {
        return await start(spec);
      } catch (error) {
        if (error instanceof DeviceError) throw error;
        // Graphs are built and weights checked before this, so what fails here is reaching the file.
        return await this.#fromMemory(start, spec).catch(() => {
          throw error;
        });
      }
    }
    return this.#fromMemory(start, spec);
  }

  async #fromMemory(start: (spec: RuntimeSpec) => Promise<Session>, spec: RuntimeSpec): Promise<Session> {
    const bytes = await this.#file.slice(0, this.#file.size);
    const session = await start({ ...spec, weights: { location: this.location, bytes } });
    this.route = 'memory';
    return session;
  }
}
