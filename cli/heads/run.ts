/** Heads on onnxruntime-node. */
import type { SessionFactory } from '../../src/onnx/session.ts';
import type { Head } from '../../src/safety/heads/head.ts';
import { type HeadRunner, headRunner } from '../../src/safety/heads/run.ts';
import { createRuntimeSession } from '../onnx/runtime.ts';

/**
 * A head whose matrix products run on the runtime, in this thread: it reads the embeddings where they lie, where a
 * thread of its own would be sent a copy. Throws `ModelError`.
 */
export async function nodeHead(head: Head, options: { threads?: number } = {}): Promise<HeadRunner> {
  const { threads } = options;
  const sessions: SessionFactory = {
    location: '',
    provider: 'cpu',
    create: (graph) => createRuntimeSession({ graph, folder: '.', lean: false, threads }),
  };
  return headRunner(head, sessions);
}
