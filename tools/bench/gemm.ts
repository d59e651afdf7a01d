/**
 * What the cores can do at most: matrix products of the image tower's size through onnxruntime, in fp32 and in int8
 * (`MatMulIntegerToFloat`), one JSON line of GFLOP/s. Only a row of the answer leaves the runtime, so nothing but the
 * product is timed.
 */
import * as ort from 'onnxruntime-node';
import { Graph, MICROSOFT, type Value } from '../../src/onnx/graph.ts';

/** Tokens of 32 pictures of ViT-B/32-256, and the two sides of its MLP. */
const ROWS = 32 * 65;
const SHAPES = [
  [768, 3072],
  [3072, 768],
] as const;
const SECONDS = 1.5;

function graphOf(depth: number, width: number, isInt8: boolean): Uint8Array {
  const graph = new Graph('gemm', '');
  const x = graph.input('x', isInt8 ? 'uint8' : 'float32', [ROWS, depth]);
  let product: Value;
  if (isInt8) {
    const bytes = Uint8Array.from({ length: depth * width }, (_, i) => (i * 7919) % 251);
    const scales = graph.floats('scales', [width], new Float32Array(width).fill(0.01));
    const inputs = [
      x,
      graph.bytes('w', 'int8', [depth, width], bytes),
      graph.float(0.01),
      scales,
      graph.byte(128),
    ];
    product = graph.node('MatMulIntegerToFloat', inputs, {}, MICROSOFT);
  } else {
    const floats = Float32Array.from({ length: depth * width }, (_, i) => ((i * 7919) % 251) / 251 - 0.5);
    product = graph.node('MatMul', [x, graph.floats('w', [depth, width], floats)]);
  }
  graph.output('y', graph.node('Gather', [product, graph.ints([ROWS - 1])]), 'float32', [1, width]);
  return graph.finish();
}

async function ceiling(isInt8: boolean): Promise<number> {
  let best = 0;
  for (const [depth, width] of SHAPES) {
    const session = await ort.InferenceSession.create(graphOf(depth, width, isInt8));
    const data = isInt8
      ? Uint8Array.from({ length: ROWS * depth }, (_, i) => i % 251)
      : Float32Array.from({ length: ROWS * depth }, (_, i) => (i % 251) / 251);
    const x = new ort.Tensor(isInt8 ? 'uint8' : 'float32', data, [ROWS, depth]);
    const begin = performance.now();
    while (performance.now() - begin < SECONDS * 1000) {
      const start = performance.now();
      await session.run({ x });
      best = Math.max(best, (2 * ROWS * depth * width) / (performance.now() - start) / 1e6);
    }
    await session.release();
  }
  return Math.round(best);
}

process.stdout.write(`${JSON.stringify({ fp32: await ceiling(false), int8: await ceiling(true) })}\n`);
