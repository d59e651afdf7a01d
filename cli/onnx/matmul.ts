/** Matrix products on onnxruntime-node. */

import type { Matmul } from '../../src/embeddings/matmul.ts';
import { runtimeMatmul } from '../../src/embeddings/matmul-onnx.ts';
import { requireDevice } from '../devices/available.ts';
import { parseDevice } from '../devices/spec.ts';
import { createRuntimeSession } from './runtime.ts';

export interface MatmulOptions {
  /** Threads of one product; the runtime's own choice (the machine's cores) where absent. */
  threads?: number;
  /** `cpu` (default), `webgpu`, `cuda:1`, … */
  device?: string;
}

/**
 * Products in this thread: the runtime reads the matrices where they lie, where a thread of its own would be sent a
 * copy of every tile. The event loop (signals, progress) gets its turn between tiles. Throws `UsageError` for a device that
 * there is not.
 */
export function nodeMatmul(options: MatmulOptions = {}): Matmul {
  const { threads } = options;
  const device = parseDevice(options.device ?? 'cpu');
  return runtimeMatmul({
    location: '',
    provider: device.kind,
    async create(graph) {
      await requireDevice(device);
      return createRuntimeSession({ graph, folder: '.', lean: false, threads, device });
    },
  });
}
