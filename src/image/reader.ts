/** Bounded reads for the header parsers: past the end is a `SampleError`, never a wrong number. */

import { SampleError } from '../errors.ts';

export function undecodable(message: string, hint?: string): SampleError {
  return new SampleError('undecodable_image', message, hint === undefined ? {} : { hint });
}

export function u16be(bytes: Uint8Array, at: number): number {
  if (at + 2 > bytes.length) throw undecodable('the picture ends in its header');
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function u16le(bytes: Uint8Array, at: number): number {
  if (at + 2 > bytes.length) throw undecodable('the picture ends in its header');
  return bytes[at]! | (bytes[at + 1]! << 8);
}

export function u24le(bytes: Uint8Array, at: number): number {
  if (at + 3 > bytes.length) throw undecodable('the picture ends in its header');
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
}

export function u32be(bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) throw undecodable('the picture ends in its header');
  return bytes[at]! * 0x1000000 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
}

export function u32le(bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) throw undecodable('the picture ends in its header');
  return bytes[at + 3]! * 0x1000000 + (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16));
}

/** True if `text` (ASCII) lies at `at`. */
export function has(bytes: Uint8Array, at: number, text: string): boolean {
  if (at < 0 || at + text.length > bytes.length) return false;
  for (let i = 0; i < text.length; i++) if (bytes[at + i] !== text.charCodeAt(i)) return false;
  return true;
}

/** Like Python's `bytes.find`: -1 where `byte` does not occur. */
export function find(bytes: Uint8Array, byte: number, from = 0): number {
  return bytes.indexOf(byte, from);
}
