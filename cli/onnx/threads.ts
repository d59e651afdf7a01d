/** A session in a worker thread, seen from the main one. */
import { Worker } from 'node:worker_threads';
import { DeviceError, ModelError, messageOf } from '../../src/errors.ts';
import type { Session, Tensor } from '../../src/onnx/session.ts';
import { inTurn } from '../devices/turns.ts';
import type { RuntimeSpec } from './runtime.ts';
import type { Request, Response } from './worker.ts';

// The compiled package holds .js, the repository .ts.
const WORKER = new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url);

/** As `createRuntimeSession`, in a thread of its own. */
export async function createWorkerSession(spec: RuntimeSpec): Promise<Session> {
  if (spec.device?.kind !== 'webgpu') return start(spec);
  const session = await inTurn(() => start(spec));
  return { run: (feeds) => inTurn(() => session.run(feeds)), release: () => inTurn(() => session.release()) };
}

async function start(spec: RuntimeSpec): Promise<Session> {
  const bytes = spec.weights?.bytes;
  const transferList = bytes === undefined ? [] : [bytes.buffer as ArrayBuffer];
  const session = new WorkerSession(new Worker(WORKER, { workerData: spec, transferList, execArgv: [] }));
  try {
    await session.ready;
    return session;
  } catch (error) {
    await session.release();
    throw error;
  }
}

interface Pending {
  resolve(answers: Record<string, Tensor>): void;
  reject(error: ModelError | DeviceError): void;
}

class WorkerSession implements Session {
  readonly ready: Promise<unknown>;
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #closed: ModelError | undefined;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.on('message', (response: Response) => this.#settle(response));
    worker.on('error', (cause) => {
      this.#fail(new ModelError(`the model's thread failed: ${messageOf(cause)}`, { cause }));
    });
    worker.on('exit', (code) => this.#fail(new ModelError(`the model's thread ended (code ${code})`)));
    this.ready = this.#wait();
  }

  async run(feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>> {
    if (this.#closed !== undefined) throw this.#closed;
    const request: Request = { id: this.#next, feeds };
    const answers = this.#wait();
    this.#worker.postMessage(request);
    return answers;
  }

  async release(): Promise<void> {
    if (this.#closed === undefined) {
      const request: Request = { id: this.#next };
      const answers = this.#wait();
      // From here on nobody else is served, but what was asked before is answered first.
      this.#closed = new ModelError('the model was released before this run');
      this.#worker.postMessage(request);
      await answers.catch(() => {});
    }
    await this.#worker.terminate();
  }

  #wait(): Promise<Record<string, Tensor>> {
    const { promise, resolve, reject } = Promise.withResolvers<Record<string, Tensor>>();
    this.#pending.set(this.#next++, { resolve, reject });
    // The thread keeps the process alive only while somebody waits for it.
    this.#worker.ref();
    return promise;
  }

  #settle({ id, answers, error, isDevice }: Response): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (error === undefined) pending?.resolve(answers ?? {});
    else pending?.reject(isDevice ? new DeviceError(error) : new ModelError(error));
  }

  #fail(error: ModelError): void {
    this.#closed ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
