/**
 * The passes of the exact resize in WebAssembly SIMD. The machine code is `assets/resize.wasm`, written by
 * `tools/wasm/resize.wat.ts`, which says why its sums are exact. A platform compiles it, or imports it where it may not
 * compile, and hands the module in.
 */
import { ModelError } from '../errors.ts';
import { type Passes, plainPasses, type Windows } from './resize.ts';

const PAGE = 65536;

/** Rows that the kernel resamples at once along x. */
const ROWS = 4;

/** Input of the horizontal pass is copied in strips of this size, which stay in a core's cache. */
const STRIP_BYTES = 256 * 1024;

/** The kernel reads and writes sixteen bytes at a time and may go this far past an end. */
const SLACK = 64;

/**
 * A pass that needs more memory than this goes through the plain passes: WebAssembly's memory never shrinks, and
 * pictures of such a shape (a band of 60,000 rows) are rare.
 */
const MAX_BYTES = 16 * 1024 * 1024;

const TAP_BITS = 15;

/** The windows as the kernel reads them. */
interface Table {
  /** Bytes of one window's weights. */
  stride: number;
  starts: Int32Array;
  /** Pairs of taps in each window. */
  counts: Int32Array;
  /** `low0 low1 high0 high1` for each pair. */
  weights: Int16Array;
}

/** Undefined where a weight is too large for the kernel, which no filter of ours makes. */
function tableOf(w: Windows, unit: number): Table | undefined {
  const pairs = Math.ceil(w.stride / 2);
  const count = w.start.length;
  const table: Table = {
    stride: pairs * 8,
    starts: new Int32Array(count),
    counts: new Int32Array(count),
    weights: new Int16Array(count * pairs * 4),
  };
  for (let i = 0; i < count; i++) {
    table.starts[i] = w.start[i]! * unit;
    table.counts[i] = (w.length[i]! + 1) >> 1;
    for (let k = 0; k < w.length[i]!; k++) {
      const weight = w.weights[i * w.stride + k]!;
      const at = (i * pairs + (k >> 1)) * 4 + (k & 1);
      table.weights[at] = weight & ((1 << TAP_BITS) - 1);
      table.weights[at + 2] = weight >> TAP_BITS;
      if (table.weights[at + 2] !== weight >> TAP_BITS) return undefined;
    }
  }
  return table;
}

/**
 * Passes over an instance of `module` (`assets/resize.wasm`), equal to the plain ones byte for byte. Not for several
 * threads at once: each instantiates its own. Throws `ModelError` where the module is another.
 */
export function wasmPasses(module: WebAssembly.Module): Passes {
  const { memory: room, horizontal, vertical } = new WebAssembly.Instance(module).exports;
  if (
    !(room instanceof WebAssembly.Memory) ||
    typeof horizontal !== 'function' ||
    typeof vertical !== 'function'
  )
    throw new ModelError('the WebAssembly module is not the one of the resize', {
      hint: 'Hand in assets/resize.wasm of this version of shardsieve',
    });

  /** Offsets of areas of these sizes in the kernel's memory, which grows to hold them; sixteen-byte aligned. */
  const layOut = (sizes: number[]): number[] => {
    let at = 0;
    const offsets = sizes.map((size) => {
      const offset = at;
      at = (at + size + SLACK + 15) & ~15;
      return offset;
    });
    const missing = at - room.buffer.byteLength;
    if (missing > 0) room.grow(Math.ceil(missing / PAGE));
    return offsets;
  };

  return {
    horizontal(src, srcWidth, y0, y1, w) {
      const table = tableOf(w, 3);
      const columns = w.start.length;
      const rowBytes = srcWidth * 3;
      // One byte more than three a pixel, see the kernel.
      const outBytes = columns * 3 + 1;
      const strip = Math.max(ROWS, Math.floor(STRIP_BYTES / rowBytes) & ~(ROWS - 1));
      const needed = strip * (rowBytes + outBytes) + columns * (8 + (table?.stride ?? 0));
      if (!table || needed > MAX_BYTES) return plainPasses.horizontal(src, srcWidth, y0, y1, w);
      const [starts, counts, weights, input, output] = layOut([
        columns * 4,
        columns * 4,
        columns * table.stride,
        strip * rowBytes,
        strip * outBytes,
      ]);
      const memory = new Uint8Array(room.buffer);
      place(memory, table, starts, counts, weights);
      const out = new Uint8Array((y1 - y0) * columns * 3);
      for (let y = y0; y < y1; y += strip) {
        const rows = Math.min(strip, y1 - y);
        memory.set(src.subarray(y * rowBytes, (y + rows) * rowBytes), input);
        for (let row = 0; row < rows; row += ROWS) {
          horizontal(
            input + row * rowBytes,
            rowBytes,
            output + row * outBytes,
            outBytes,
            columns,
            starts,
            counts,
            weights,
            table.stride,
          );
        }
        for (let row = 0; row < rows; row++) {
          const from = output + row * outBytes;
          out.set(memory.subarray(from, from + columns * 3), (y - y0 + row) * columns * 3);
        }
      }
      return out;
    },

    vertical(src, srcWidth, originY, x0, x1, w) {
      const table = tableOf(w, 1);
      const rows = w.start.length;
      const rowBytes = srcWidth * 3;
      const bytes = (x1 - x0) * 3;
      const first = w.start[0]! - originY;
      const end = w.start[rows - 1]! + w.length[rows - 1]! - originY;
      // A window of an odd length reads one row more, with weight 0.
      const inputBytes = (end - first + 1) * rowBytes;
      const needed = inputBytes + rows * (bytes + 8 + (table?.stride ?? 0));
      if (!table || needed > MAX_BYTES) return plainPasses.vertical(src, srcWidth, originY, x0, x1, w);
      const [starts, counts, weights, input, output] = layOut([
        rows * 4,
        rows * 4,
        rows * table.stride,
        inputBytes,
        rows * bytes,
      ]);
      const memory = new Uint8Array(room.buffer);
      place(memory, table, starts, counts, weights);
      memory.set(src.subarray(first * rowBytes, end * rowBytes), input);
      for (let y = 0; y < rows; y++) {
        vertical(
          input + (table.starts[y]! - originY - first) * rowBytes + x0 * 3,
          rowBytes,
          output + y * bytes,
          bytes,
          table.counts[y]!,
          weights + y * table.stride,
        );
      }
      return memory.slice(output, output + rows * bytes);
    },
  };
}

function place(memory: Uint8Array, table: Table, starts: number, counts: number, weights: number): void {
  memory.set(new Uint8Array(table.starts.buffer), starts);
  memory.set(new Uint8Array(table.counts.buffer), counts);
  memory.set(new Uint8Array(table.weights.buffer), weights);
}
