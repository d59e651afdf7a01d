/**
 * float32 ↔ float16 (IEEE 754 binary16), rounding to nearest, ties to even, exactly as NumPy's `astype`:
 * subnormals are kept, 65,520 and above become infinity, a NaN keeps its sign and the top of its payload.
 * Written out because `Float16Array` is missing from Node 22 and from some workers.
 */

const INFINITY_32 = 0x7f800000;
/** 65,536: from here on even rounding down would not fit. */
const OVERFLOW_32 = 0x47800000;
/** 2^-14, the smallest normal half. */
const SMALLEST_NORMAL_32 = 0x38800000;
/** 2^-25, half of the smallest subnormal half: a tie, which goes to zero. */
const ROUNDS_TO_ZERO_32 = 0x33000000;

/** Bits of the nearest halves, one for each value. */
export function toFloat16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const x = bits[i];
    const sign = (x >>> 16) & 0x8000;
    const abs = x & 0x7fffffff;
    if (abs >= SMALLEST_NORMAL_32 && abs < OVERFLOW_32) {
      // Rebias the exponent by 127 − 15, add just under half a unit, and one more where the kept part is odd.
      halves[i] = sign | ((abs - 0x38000000 + 0xfff + ((abs >>> 13) & 1)) >>> 13);
    } else {
      halves[i] = sign | unusual(abs);
    }
  }
  return halves;
}

function unusual(abs: number): number {
  // A payload that is lost with the low bits must not leave an infinity behind.
  if (abs > INFINITY_32) return 0x7c00 | ((abs & 0x7fffff) >>> 13 || 1);
  if (abs >= OVERFLOW_32) return 0x7c00;
  if (abs <= ROUNDS_TO_ZERO_32) return 0;
  const mantissa = (abs & 0x7fffff) | 0x800000;
  const shift = 126 - (abs >>> 23);
  const kept = mantissa >>> shift;
  const rest = mantissa & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return rest > half || (rest === half && (kept & 1) === 1) ? kept + 1 : kept;
}

/** The bits of every half's value, made when they are first asked for: looking one up beats working it out. */
let table: Uint32Array | undefined;

function bitsOfHalves(): Uint32Array {
  const bits = new Uint32Array(2 ** 16);
  const values = new Float32Array(bits.buffer);
  for (let half = 0; half < bits.length; half++) {
    const exponent = (half >>> 10) & 0x1f;
    const mantissa = half & 0x3ff;
    if (exponent === 0) values[half] = (half & 0x8000 ? -1 : 1) * mantissa * 2 ** -24;
    else
      bits[half] =
        ((half & 0x8000) << 16) | ((exponent === 31 ? 255 : exponent + 112) << 23) | (mantissa << 13);
  }
  return bits;
}

/** The halves' values; every half is a float32, so nothing is rounded. */
export function fromFloat16(halves: Uint16Array): Float32Array<ArrayBuffer> {
  table ??= bitsOfHalves();
  // Through the bits, since an engine may change a NaN that passes as a number.
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = table[halves[i]];
  return new Float32Array(bits.buffer);
}
