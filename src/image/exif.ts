/** The one EXIF field that `visual` needs. */

/** Entries looked at in the first directory; real files hold some dozens. */
const MAX_ENTRIES = 1000;

/**
 * EXIF orientation 1–8 of a TIFF block (with or without its leading `Exif\0\0`), or undefined where there
 * is none or the block is broken: a broken tag never fails the picture.
 */
export function exifOrientation(block: Uint8Array): number | undefined {
  const tiff = isExifPrefix(block) ? block.subarray(6) : block;
  if (tiff.length < 8) return undefined;
  const little = tiff[0] === 0x49 && tiff[1] === 0x49;
  if (!little && !(tiff[0] === 0x4d && tiff[1] === 0x4d)) return undefined;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return undefined;
  const entries = Math.min(view.getUint16(directory, little), MAX_ENTRIES);
  for (let i = 0; i < entries; i++) {
    const at = directory + 2 + i * 12;
    if (at + 12 > tiff.length) return undefined;
    if (view.getUint16(at, little) !== 0x0112) continue;
    const type = view.getUint16(at + 2, little);
    const value = type === 4 ? view.getUint32(at + 8, little) : view.getUint16(at + 8, little);
    return value >= 1 && value <= 8 ? value : undefined;
  }
  return undefined;
}

function isExifPrefix(block: Uint8Array): boolean {
  return block.length >= 6 && String.fromCharCode(...block.subarray(0, 4)) === 'Exif' && block[4] === 0;
}
