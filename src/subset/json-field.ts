/**
 * Sets one field of a JSON object in its own text: the rest stays as its writer wrote it, numbers past 2^53, spaces
 * and escapes included, which reading and writing it anew would change.
 */

/** @param text a JSON object, already known to parse. @param value JSON. A field that is there is replaced. */
export function withField(text: string, name: string, value: string): string {
  const close = text.lastIndexOf('}');
  const open = text.indexOf('{');
  let comma = open;
  let isEmpty = true;
  let found: { start: number; end: number } | undefined;
  for (let at = skipSpace(text, open + 1); at < close; at = skipSpace(text, comma + 1)) {
    isEmpty = false;
    const keyEnd = stringEnd(text, at) + 1;
    const start = skipSpace(text, skipSpace(text, keyEnd) + 1);
    const end = valueEnd(text, start);
    comma = skipSpace(text, end);
    // Of a field that is there twice the last one counts; the readers that take the first one are not led astray.
    if (JSON.parse(text.slice(at, keyEnd)) === name) found = { start, end };
    if (comma >= close) break;
  }
  if (found !== undefined) return text.slice(0, found.start) + value + text.slice(found.end);
  return `${text.slice(0, close)}${isEmpty ? '' : ', '}${JSON.stringify(name)}: ${value}${text.slice(close)}`;
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\r\n'.includes(text[at])) at++;
  return at;
}

/** Index of the quote that closes the string opened at `at`. */
function stringEnd(text: string, at: number): number {
  let end = at + 1;
  while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1;
  return end;
}

/** Index behind the value that begins at `from`. */
function valueEnd(text: string, from: number): number {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const character = text[at];
    if (character === '"') at = stringEnd(text, at);
    else if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    if (depth < 0 || (depth === 0 && ', \t\r\n'.includes(text[at]))) return at;
    if (depth === 0 && (character === '}' || character === ']')) return at + 1;
  }
  return text.length;
}
