/**
 * JPEG headers, walked as Pillow 13.0.0 walks them (`JpegImagePlugin.py`), so that what it refuses before
 * any decoding is refused here with the same strictness.
 */

import { exifOrientation } from './exif.ts';
import { has, u16be, u32be, undecodable } from './reader.ts';
import type { JpegHeader } from './types.ts';

const SOS = 0xda;
const DQT = 0xdb;

/** Segments whose length and content Pillow skips: DHT, DAC, SOS, DNL, DRI, EXP. */
const SKIPPED = new Set([0xc4, 0xcc, SOS, 0xdc, 0xdd, 0xdf]);

function isFrame(marker: number): boolean {
  return (
    (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) ||
    marker === 0xde
  );
}

interface Walk {
  frame?: {
    width: number;
    height: number;
    components: 1 | 3 | 4;
    sof: number;
    mcus: number;
    ids: number[];
    sampling: number[];
  };
  adobeTransform?: number;
  orientation?: number;
  icc: Uint8Array[];
  restartInterval: number;
}

/** Reads the header up to the first scan. Throws `SampleError` `undecodable_image`. */
export function readJpegHeader(bytes: Uint8Array): JpegHeader {
  const walk: Walk = { icc: [], restartInterval: 0 };
  let at = 3;
  let byte = 0xff;
  for (;;) {
    if (byte !== 0xff) {
      if (at >= bytes.length) break;
      byte = bytes[at++]!;
      continue;
    }
    if (at >= bytes.length) break;
    const marker = bytes[at++]!;
    if (marker === 0xff) continue;
    if (marker !== 0 && marker < 0xc0) throw undecodable(`JPEG marker FF${marker.toString(16)} is unknown`);
    if (hasSegment(marker)) {
      const length = Math.max(0, u16be(bytes, at) - 2);
      const start = at + 2;
      if (start + length > bytes.length) throw undecodable('the JPEG ends in its header');
      readSegment(walk, marker, bytes.subarray(start, start + length));
      if (marker === SOS) return finish(walk, bytes[start] ?? 0, start + length);
      at = start + length;
    }
    if (at >= bytes.length) break;
    byte = bytes[at++]!;
  }
  throw undecodable('the JPEG has no scan');
}

function hasSegment(marker: number): boolean {
  return (
    isFrame(marker) ||
    SKIPPED.has(marker) ||
    marker === DQT ||
    marker === 0xfe ||
    (marker >= 0xe0 && marker <= 0xef)
  );
}

function finish(walk: Walk, scanComponents: number, scanOffset: number): JpegHeader {
  if (!walk.frame) throw undecodable('the JPEG has a scan before its frame header');
  const { width, height, components, sof, ids, sampling } = walk.frame;
  if (width < 1 || height < 1) throw undecodable(`the JPEG says it is ${width}×${height}`);
  const { adobeTransform, orientation, restartInterval } = walk;
  const restarts = restartInterval === 0 ? 0 : Math.max(0, Math.ceil(walk.frame.mcus / restartInterval) - 1);
  return {
    format: 'jpeg',
    width,
    height,
    components,
    sof,
    adobeTransform,
    orientation,
    ids,
    sampling,
    restarts,
    scanComponents,
    scanOffset,
  };
}

function readSegment(walk: Walk, marker: number, s: Uint8Array): void {
  if (isFrame(marker)) readFrame(walk, marker, s);
  else if (marker === DQT) checkTables(s);
  else if (marker === 0xdd && s.length >= 2) walk.restartInterval = u16be(s, 0);
  else if (marker === 0xe0 && has(s, 0, 'JFIF')) u16be(s, 5);
  else if (marker === 0xe1 && has(s, 0, 'Exif\0\0')) walk.orientation ??= exifOrientation(s);
  else if (marker === 0xe2 && has(s, 0, 'ICC_PROFILE\0')) walk.icc.push(s);
  else if (marker === 0xed && has(s, 0, 'Photoshop 3.0\0')) checkPhotoshop(s);
  else if (marker === 0xee && has(s, 0, 'Adobe')) {
    u16be(s, 5);
    if (s.length > 11) walk.adobeTransform = s[11];
  }
}

function readFrame(walk: Walk, marker: number, s: Uint8Array): void {
  const [height, width] = [u16be(s, 1), u16be(s, 3)];
  if (s[0] !== 8) throw undecodable(`the JPEG has ${s[0]} bits a sample, not 8`);
  const components = s[5];
  if (components !== 1 && components !== 3 && components !== 4) {
    throw undecodable(`the JPEG has ${components ?? 'no'} components, not 1, 3 or 4`);
  }
  if (walk.icc.length > 0) {
    // Pillow reads byte 13 of the profile part that sorts first.
    if (walk.icc.reduce(smaller).length < 14) throw undecodable("the JPEG's ICC segment is too short");
    walk.icc = [];
  }
  if (s.length > 6 && (s.length - 6) % 3 !== 0) throw undecodable("the JPEG's frame header has a bad length");
  const ids: number[] = [];
  const sampling: number[] = [];
  for (let i = 0; i < components; i++) {
    ids.push(s[6 + i * 3] ?? 0);
    sampling.push(s[7 + i * 3] ?? 0);
  }
  const mcus = countMcus(sampling, width, height);
  walk.frame = { width, height, components, sof: marker, mcus, ids, sampling };
}

/** MCUs of a scan with all components: blocks of 8 × 8, times the largest sampling factors if there are several. */
function countMcus(sampling: number[], width: number, height: number): number {
  let [h, v] = [1, 1];
  for (const factors of sampling.length > 1 ? sampling : []) {
    h = Math.max(h, factors >> 4);
    v = Math.max(v, factors & 15);
  }
  return Math.ceil(width / (8 * h)) * Math.ceil(height / (8 * v));
}

function smaller(a: Uint8Array, b: Uint8Array): Uint8Array {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i]! < b[i]! ? a : b;
  return a.length <= b.length ? a : b;
}

function checkTables(s: Uint8Array): void {
  let at = 0;
  while (at < s.length) {
    at += 1 + (s[at]! >> 4 === 0 ? 64 : 128);
    if (at > s.length) throw undecodable("the JPEG's quantisation table is cut short");
  }
}

/** Pillow walks Photoshop's resources; a block that ends inside a name fails there, other ends do not. */
function checkPhotoshop(s: Uint8Array): void {
  let at = 14;
  while (has(s, at, '8BIM')) {
    at += 4;
    if (at + 2 > s.length) return;
    at += 2;
    if (at >= s.length) throw undecodable("the JPEG's Photoshop segment is cut short");
    at += 1 + s[at]!;
    at += at & 1;
    if (at + 4 > s.length) return;
    const size = u32be(s, at);
    at += 4 + size;
    at += at & 1;
  }
}
