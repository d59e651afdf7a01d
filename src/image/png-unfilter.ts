import { undecodable } from './reader.ts';

/**
 * Undoes a PNG row filter in place. `previous` is the unfiltered row above, of the same length; `step` the
 * bytes of a pixel, at least 1. Throws `SampleError` for a filter that does not exist.
 */
export function unfilter(filter: number, line: Uint8Array, previous: Uint8Array, step: number): void {
  const n = line.length;
  if (filter === 0) return;
  if (filter === 1) {
    for (let i = step; i < n; i++) line[i] = line[i]! + line[i - step]!;
  } else if (filter === 2) {
    for (let i = 0; i < n; i++) line[i] = line[i]! + previous[i]!;
  } else if (filter === 3) {
    const head = Math.min(step, n);
    for (let i = 0; i < head; i++) line[i] = line[i]! + (previous[i]! >> 1);
    for (let i = step; i < n; i++) line[i] = line[i]! + ((line[i - step]! + previous[i]!) >> 1);
  } else if (filter === 4) {
    paeth(line, previous, step);
  } else {
    throw undecodable(`the PNG has a row with filter ${filter}, which does not exist`);
  }
}

function paeth(line: Uint8Array, previous: Uint8Array, step: number): void {
  const n = line.length;
  const head = Math.min(step, n);
  for (let i = 0; i < head; i++) line[i] = line[i]! + previous[i]!;
  for (let i = step; i < n; i++) {
    const a = line[i - step]!;
    const b = previous[i]!;
    const c = previous[i - step]!;
    const pa = Math.abs(b - c);
    const pb = Math.abs(a - c);
    const pc = Math.abs(a + b - c - c);
    line[i] = line[i]! + (pa <= pb && pa <= pc ? a : pb <= pc ? b : c);
  }
}
