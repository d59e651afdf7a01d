/** Matrix products on onnxruntime-node. */

import type { Matmul } from '../../src/embeddings/matmul.ts';
import { runtimeMatmul } from '../../src/embeddings/matmul-onnx.ts';
import { createRuntimeSession } from './runtime.ts';

export interface MatmulOptions {
  /** Threads of one product; the runtime's own choice (the machine's cores) where absent. */
  threads?: number;
  /** The runtime's execution provider: `cpu` (default), `webgpu`, or another that the runtime was built with. */
  device?: string;
}

/**
 * Products in this thread: the runtime reads the matrices where they lie, where a thread of its own would be sent a
 * copy of every tile. The event loop (signals, progress) gets its turn between tiles.
 */
export function nodeMatmul(options: MatmulOptions = {}): Matmul {
  const { threads, device = 'cpu' } = options;
  return runtimeMatmul({
    location: '',
    provider: device,
    create: (graph) => createRuntimeSession({ graph, folder: '.', lean: false, threads, provider: device }),
  });
}
