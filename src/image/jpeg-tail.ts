/**
 * What stands between a JPEG's last row and its end marker. libjpeg reads on there when Pillow finishes, and
 * a marker that it does not expect fails the whole picture; libvips stops at the last row and would take it.
 *
 * Source of the rules: libjpeg-turbo `jdmarker.c` and `jdinput.c`; Pillow `JpegDecode.c`, whose input comes
 * in steps of 64 KiB and which forgives an end that is missing.
 */

import { undecodable } from './reader.ts';
import type { JpegHeader } from './types.ts';

const READ_STEP = 65536;

/** Pictures in several scans are read to their end by both, before the first row. */
function hasSeveralScans(header: JpegHeader): boolean {
  return header.sof === 0xc2 || header.sof === 0xca || header.scanComponents < header.components;
}

/** Throws `SampleError` where libjpeg would stop on a marker after the picture. */
export function checkJpegTail(bytes: Uint8Array, header: JpegHeader): void {
  if (hasSeveralScans(header)) return;
  let at = header.scanOffset;
  let end = bytes.length;
  let restarts = 0;
  for (let first = true; ; ) {
    const marker = nextMarker(bytes, at, end);
    if (!marker) return;
    at = marker.at;
    const { code } = marker;
    if (first) {
      // Within the scan: restarts, and, before the last one, codes that libjpeg's recovery skips.
      if (code >= 0xd0 && code <= 0xd7) {
        restarts++;
        continue;
      }
      if (restarts < header.restarts && code < 0xc0) continue;
      first = false;
      end = Math.min(bytes.length, Math.ceil(at / READ_STEP) * READ_STEP);
    }
    if (code === 0xd9) return;
    if (code === 0x01 || (code >= 0xd0 && code <= 0xd7)) continue;
    const next = passSegment(bytes, code, at, end);
    if (next === undefined) return;
    at = next;
  }
}

function nextMarker(bytes: Uint8Array, from: number, end: number): { code: number; at: number } | undefined {
  for (let at = from; ; ) {
    at = bytes.indexOf(0xff, at);
    if (at < 0 || at >= end) return undefined;
    while (at < end && bytes[at] === 0xff) at++;
    if (at >= end) return undefined;
    const code = bytes[at++]!;
    if (code !== 0) return { code, at };
  }
}

/** The offset after a marker's segment; undefined where the data ends first, which is forgiven. */
function passSegment(bytes: Uint8Array, code: number, at: number, end: number): number | undefined {
  const skipped = (code >= 0xe0 && code <= 0xef) || code === 0xfe || code === 0xdc;
  // A second frame header fails at once, as unknown codes do.
  if (!skipped && !CHECKED.has(code)) throw unexpected(code);
  if (at + 2 > end) return undefined;
  const length = (bytes[at]! << 8) | bytes[at + 1]!;
  if (skipped) return at + Math.max(2, length);
  const from = at + 2;
  if (code === 0xc4) return passHuffman(bytes, from, length - 2, end);
  if (code === 0xdb) return passQuantisation(bytes, from, length - 2, end);
  if (code === 0xdd) {
    if (length !== 4) throw unexpected(code);
    return from + 2;
  }
  if (code === 0xcc) return passConditioning(bytes, from, length - 2, end);
  if (from >= end) return undefined;
  const components = bytes[from]!;
  const isWhole = from + 1 + components * 2 + 3 <= end;
  if (length === components * 2 + 6 && components >= 1 && components <= 4 && !isWhole) return undefined;
  throw unexpected(code);
}

/** DHT, DQT, DRI, DAC and SOS: looked into by libjpeg. */
const CHECKED = new Set([0xc4, 0xdb, 0xdd, 0xcc, 0xda]);

function passConditioning(bytes: Uint8Array, from: number, length: number, end: number): number | undefined {
  let left = length;
  for (let at = from; left > 0; at += 2, left -= 2) {
    if (at + 2 > end) return undefined;
    const [index, value] = [bytes[at]!, bytes[at + 1]!];
    if (index >= 32 || (index < 16 && (value & 15) > value >> 4)) throw unexpected(0xcc);
  }
  if (left !== 0) throw unexpected(0xcc);
  return from + length;
}

function passHuffman(bytes: Uint8Array, from: number, length: number, end: number): number | undefined {
  let at = from;
  let left = length;
  while (left > 16) {
    if (at + 17 > end) return undefined;
    const index = bytes[at]!;
    let count = 0;
    for (let i = 1; i <= 16; i++) count += bytes[at + i]!;
    left -= 17;
    if (count > 256 || count > left) throw unexpected(0xc4);
    at += 17 + count;
    if (at > end) return undefined;
    left -= count;
    if ((index & 0x10 ? index - 0x10 : index) > 3) throw unexpected(0xc4);
  }
  if (left !== 0) throw unexpected(0xc4);
  return at;
}

function passQuantisation(bytes: Uint8Array, from: number, length: number, end: number): number | undefined {
  let at = from;
  let left = length;
  while (left > 0) {
    if (at >= end) return undefined;
    const size = 1 + (bytes[at]! >> 4 === 0 ? 64 : 128);
    if ((bytes[at]! & 15) > 3) throw unexpected(0xdb);
    at += size;
    if (at > end) return undefined;
    left -= size;
  }
  if (left !== 0) throw unexpected(0xdb);
  return at;
}

function unexpected(code: number): Error {
  return undecodable(
    `the JPEG has a marker FF${code.toString(16).padStart(2, '0')} after its picture that does not fit`,
  );
}
