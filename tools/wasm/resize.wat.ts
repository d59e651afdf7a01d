/**
 * The text of `assets/resize.wasm`: both passes of the exact resize (`src/image/resize.ts`) in 128-bit SIMD. Written by
 * a template and not by hand because four rows are worked on at once and only differ in a number.
 *
 * A weight has 22 fractional bits and a sign, too many for `i32x4.dot_i16x8_s`, which multiplies sixteen bits by sixteen.
 * So each weight is two numbers, `w = high · 2^15 + low` with `low` in 0..32767 and `high = w >> 15`, two sums are kept,
 * and the result is `low sum + (high sum << 15)`. Integers modulo 2^32 are a ring, `dot` itself cannot overflow
 * (2 · 255 · 2^15 < 2^31), and the plain passes add modulo 2^32 too: the sums are equal bit for bit, whatever the
 * weights are, as long as `high` fits into sixteen bits (`passes-wasm.ts` looks). Narrowing with saturation, first to
 * signed sixteen bits and then to unsigned eight, is the clip to 0..255, because a sum shifted by 22 has ten bits.
 *
 * A weight table holds for each window `pairs` entries of eight bytes, `low0 low1 high0 high1`: two taps at once. A
 * window of an odd length ends in a tap of weight 0, whatever byte it reads.
 */

const ROWS = [0, 1, 2, 3];
const each = (text: (row: number) => string): string => ROWS.map(text).join('\n');

/** `$lowN` and `$highN` to a sum rounded and shifted to 8 bits, still in four lanes of 32. */
const rounded = (n: number): string => `
  (i32x4.shr_s
    (i32x4.add
      (i32x4.add (local.get $low${n}) (i32x4.shl (local.get $high${n}) (i32.const 15)))
      (v128.const i32x4 0x200000 0x200000 0x200000 0x200000))
    (i32.const 22))`;

const narrowed = `(i8x16.narrow_i16x8_u
  (i16x8.narrow_i32x4_s ${rounded(0)} ${rounded(1)})
  (i16x8.narrow_i32x4_s ${rounded(2)} ${rounded(3)}))`;

const locals = each((n) => `(local $low${n} v128) (local $high${n} v128)`);
const zeroSums = each(
  (n) => `(local.set $low${n} (v128.const i64x2 0 0)) (local.set $high${n} (v128.const i64x2 0 0))`,
);
const accumulate = (n: number): string => `
  (local.set $low${n} (i32x4.add (local.get $low${n}) (i32x4.dot_i16x8_s (local.get $taps) (local.get $wLow))))
  (local.set $high${n} (i32x4.add (local.get $high${n}) (i32x4.dot_i16x8_s (local.get $taps) (local.get $wHigh))))`;
const loadWeights = `
  (local.set $wLow (v128.load32_splat (local.get $w)))
  (local.set $wHigh (v128.load32_splat offset=4 (local.get $w)))`;
const advance = (name: string, by: string): string =>
  `(local.set $${name} (i32.add (local.get $${name}) ${by}))`;
const times = (n: number): string => `(i32.mul (local.get $rowBytes) (i32.const ${n}))`;

/**
 * Four rows along x: RGB in, RGB out. Each output pixel is written as four bytes, of which the last is its
 * neighbour's and comes to nothing, so a row of the output needs one byte more than it keeps.
 * `starts`: byte offset of each window in a row. `counts`: its pairs.
 */
const horizontal = `
(func (export "horizontal")
  (param $in i32) (param $rowBytes i32) (param $out i32) (param $outBytes i32) (param $columns i32)
  (param $starts i32) (param $counts i32) (param $weights i32) (param $stride i32)
  (local $p i32) (local $w i32) (local $left i32) (local $end i32)
  (local $wLow v128) (local $wHigh v128) (local $taps v128)
  ${locals}
  (local.set $end (i32.add (local.get $starts) (i32.shl (local.get $columns) (i32.const 2))))
  (loop $column
    ${zeroSums}
    (local.set $p (i32.add (local.get $in) (i32.load (local.get $starts))))
    (local.set $left (i32.load (local.get $counts)))
    (local.set $w (local.get $weights))
    (loop $pair
      ${loadWeights}
      ${each(
        (n) => `
      (local.set $taps (i8x16.swizzle
        (v128.load (i32.add (local.get $p) ${times(n)}))
        (v128.const i8x16 0 128 3 128 1 128 4 128 2 128 5 128 128 128 128 128)))
      ${accumulate(n)}`,
      )}
      ${advance('p', '(i32.const 6)')}
      ${advance('w', '(i32.const 8)')}
      (br_if $pair (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (local.set $taps ${narrowed})
    ${each(
      (n) => `(v128.store32_lane ${n}
        (i32.add (local.get $out) (i32.mul (local.get $outBytes) (i32.const ${n}))) (local.get $taps))`,
    )}
    ${advance('out', '(i32.const 3)')}
    ${advance('weights', '(local.get $stride)')}
    ${advance('counts', '(i32.const 4)')}
    (br_if $column
      (i32.lt_u (local.tee $starts (i32.add (local.get $starts) (i32.const 4))) (local.get $end)))))`;

/** Two rows of sixteen bytes as eight pairs of one sum's lanes: bytes 4n to 4n+3 of both rows. */
const pairs = [
  '(i16x8.extend_low_i8x16_u (local.get $left8))',
  '(i16x8.extend_high_i8x16_u (local.get $left8))',
  '(i16x8.extend_low_i8x16_u (local.get $right8))',
  '(i16x8.extend_high_i8x16_u (local.get $right8))',
];

/**
 * One output row along y, sixteen bytes at a time whatever their channel. `in`: where its window begins; `rowBytes` of
 * input and output are multiples of 16 or have room for it.
 */
const vertical = `
(func (export "vertical")
  (param $in i32) (param $rowBytes i32) (param $out i32) (param $bytes i32) (param $count i32) (param $weights i32)
  (local $p i32) (local $w i32) (local $left i32) (local $end i32)
  (local $a v128) (local $b v128) (local $left8 v128) (local $right8 v128)
  (local $wLow v128) (local $wHigh v128) (local $taps v128)
  ${locals}
  (local.set $end (i32.add (local.get $out) (local.get $bytes)))
  (loop $block
    ${zeroSums}
    (local.set $p (local.get $in))
    (local.set $left (local.get $count))
    (local.set $w (local.get $weights))
    (loop $pair
      ${loadWeights}
      (local.set $a (v128.load (local.get $p)))
      (local.set $b (v128.load (i32.add (local.get $p) (local.get $rowBytes))))
      (local.set $left8 (i8x16.shuffle 0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23 (local.get $a) (local.get $b)))
      (local.set $right8
        (i8x16.shuffle 8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31 (local.get $a) (local.get $b)))
      ${each((n) => `(local.set $taps ${pairs[n]})${accumulate(n)}`)}
      ${advance('p', times(2))}
      ${advance('w', '(i32.const 8)')}
      (br_if $pair (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (v128.store (local.get $out) ${narrowed})
    ${advance('in', '(i32.const 16)')}
    (br_if $block
      (i32.lt_u (local.tee $out (i32.add (local.get $out) (i32.const 16))) (local.get $end)))))`;

export const RESIZE_WAT = `(module
(memory (export "memory") 1)
${horizontal}
${vertical}
)
`;
