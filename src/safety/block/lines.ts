/**
 * Block-lists and word lists are plain text, so that people can keep them in version control and join them with
 * what they know: UTF-8, one entry a line, `#` at the start of a line or after white space begins a comment.
 */
import { UsageError } from '../../errors.ts';

/** One entry of a list, and where it stands. */
export interface ListLine {
  /** Without comment and surrounding white space; never empty. */
  readonly text: string;
  /** From 1. */
  readonly line: number;
}

// White space before `#`: an URL may hold a fragment.
const COMMENT = /(?:^|\s)#.*$/;

/** The entries of a list in their order. Throws `UsageError` where the file is not UTF-8. */
export function listLines(bytes: Uint8Array, file: string): ListLine[] {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new UsageError('the list is not UTF-8', { file, cause, hint: 'Save it as plain UTF-8 text' });
  }
  const entries: ListLine[] = [];
  let line = 0;
  for (const raw of text.split(/\r\n|\n|\r/)) {
    line++;
    const entry = (raw.includes('#') ? raw.replace(COMMENT, '') : raw).trim();
    if (entry !== '') entries.push({ text: entry, line });
  }
  return entries;
}

/** The error of one line. The entry itself is not shown: what stands in such lists is not for logs. */
export function badLine(file: string, line: number, problem: string, hint: string): UsageError {
  return new UsageError(`line ${line} of the list ${problem}`, { file, hint });
}
