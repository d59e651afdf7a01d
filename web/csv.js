// @ts-check
/** Scores as a file for a table calculator: RFC 4180. */

/** @typedef {import('./page.js').Item} Item */

/** A cell that begins like a formula is not to be run as one. @param {string | number | undefined} value */
function cell(value) {
  if (typeof value === 'number') return String(value);
  const text = value ?? '';
  const plain = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

/** A row a picture and caption, with all digits. @param {readonly Item[]} items @param {readonly string[]} captions */
export function toCsv(items, captions) {
  const head = ['file', 'caption', 'score', 'nsfw_tag', 'width', 'height', 'model', 'problem'];
  const rows = items.flatMap(({ file, scored, problem }) =>
    captions.map((caption, i) => [
      file.name,
      caption,
      scored?.scores[i],
      scored?.tag,
      scored?.width,
      scored?.height,
      scored?.model,
      problem,
    ]),
  );
  return [head, ...rows]
    .map((row) => row.map(cell).join(','))
    .join('\r\n')
    .concat('\r\n');
}

/** @param {string} name @param {string} text */
export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  URL.revokeObjectURL(url);
}
