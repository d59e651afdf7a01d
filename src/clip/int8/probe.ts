/**
 * Whether this machine multiplies bytes exactly. On x86 without VNNI the runtime's kernels for unsigned by signed bytes
 * add pairs of products in 16 bits, which cut off what is above 32,767 (onnxruntime's documentation on quantisation,
 * "When and why do I need to try U8U8?"): scores would be wrong there, and nothing would say so.
 */
import { ModelError } from '../../errors.ts';
import { Graph, MICROSOFT, type Value } from '../../onnx/graph.ts';
import type { SessionFactory } from '../../onnx/session.ts';

/** How the weights' bytes are handed to the runtime: the same numbers either way. */
export type ByteSign = 'signed' | 'unsigned';

/** What turns a signed byte into an unsigned one, and the zero point that takes it back. */
export const UNSIGNED_ZERO = 128;

const DEPTH = 64;
const WIDTH = 32;
/** The largest bytes there are: every product of a pair is cut off where any is. */
const EXPECTED = DEPTH * 255 * 127;

/**
 * Multiplies known bytes and looks at the answer: signed weights where they are exact, else unsigned ones, for which the
 * runtime has wider kernels. Throws `ModelError` where neither is.
 */
export async function exactSign(sessions: SessionFactory): Promise<ByteSign> {
  const session = await sessions.create(probeGraph(sessions.location));
  try {
    const isExact = { signed: true, unsigned: true };
    // One row and several have kernels of their own.
    for (const rows of [1, 13]) {
      const data = new Float32Array(rows * DEPTH).fill(255);
      const answers = await session.run({ x: { type: 'float32', dims: [rows, DEPTH], data } });
      for (const sign of ['signed', 'unsigned'] as const) {
        if (answers[sign].data.some((value) => Number(value) !== EXPECTED)) isExact[sign] = false;
      }
    }
    if (isExact.signed) return 'signed';
    if (isExact.unsigned) return 'unsigned';
  } finally {
    await session.release();
  }
  throw new ModelError('products of bytes overflow on this machine, so int8 would give wrong scores', {
    hint: 'Use --precision fp32 here',
  });
}

function probeGraph(location: string): Uint8Array {
  const graph = new Graph('int8-probe', location);
  const x = graph.input('x', 'float32', ['n', DEPTH]);
  const bytes = graph.node('QuantizeLinear', [x, graph.float(1), graph.byte(0)]);
  const scales = graph.floats('scales', [WIDTH], new Float32Array(WIDTH).fill(1));
  const product = (name: ByteSign, weight: Value, zero: number[]): void => {
    const inputs = [bytes, weight, graph.float(1), scales, graph.byte(0), ...zero.map((z) => graph.byte(z))];
    graph.output(name, graph.node('MatMulIntegerToFloat', inputs, {}, MICROSOFT), 'float32', ['n', WIDTH]);
  };
  const weights = (type: 'int8' | 'uint8', value: number) =>
    graph.bytes(`weights ${type}`, type, [DEPTH, WIDTH], new Uint8Array(DEPTH * WIDTH).fill(value));
  product('signed', weights('int8', 127), []);
  product('unsigned', weights('uint8', 127 + UNSIGNED_ZERO), [UNSIGNED_ZERO]);
  return graph.finish();
}
