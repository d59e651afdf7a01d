import { UsageError } from '../errors.ts';

/**
 * MetaCLIP's metadata entries and its substring matching (arXiv 2309.16671; facebookresearch/MetaCLIP,
 * `metaclip1/substr_matching.py`): an entry matches where it stands between spaces in a caption whose punctuation
 * was set apart.
 */

/** Commas, stops and the like become tokens of their own; tabs and line ends become spaces. */
const APART = /[,.;:?!`]/g;
const BLANK = /[\t\n\r]/g;

/** As many entries as MetaCLIP's list has, 500,000, and room; a larger file is something else. */
const MAX_ENTRIES = 20_000_000;

interface Node {
  /** Index of the entry that ends here, or −1. */
  entry: number;
  next: Map<string, Node> | undefined;
}

export class Entries {
  readonly size: number;
  readonly #root: Node = { entry: -1, next: undefined };

  constructor(entries: readonly string[]) {
    this.size = entries.length;
    entries.forEach((entry, i) => {
      let node = this.#root;
      for (const token of entry.split(' ')) {
        node.next ??= new Map();
        const next: Node = node.next.get(token) ?? { entry: -1, next: undefined };
        node.next.set(token, next);
        node = next;
      }
      node.entry = i;
    });
  }

  /** Indexes of the entries that a caption holds, each once. */
  matches(caption: string): Set<number> {
    const tokens = caption.replace(APART, ' $& ').replace(BLANK, ' ').split(' ');
    const found = new Set<number>();
    for (let start = 0; start < tokens.length; start++) {
      let node: Node | undefined = this.#root;
      for (let i = start; i < tokens.length; i++) {
        node = node.next?.get(tokens[i]);
        if (node === undefined) break;
        if (node.entry >= 0) found.add(node.entry);
      }
    }
    return found;
  }
}

/** One entry a line, or a JSON list of strings. Repeats count once. Throws `UsageError` naming the file. */
export function parseEntries(bytes: Uint8Array, file: string): Entries {
  const text = new TextDecoder().decode(bytes);
  const entries = /^\s*\[/.test(text)
    ? jsonList(text, file)
    : text.split(/\r?\n/).filter((line) => line !== '');
  if (entries.length === 0) throw new UsageError('there is no entry in it', { file });
  if (entries.length > MAX_ENTRIES) throw new UsageError(`${entries.length} entries`, { file });
  return new Entries([...new Set(entries)]);
}

function jsonList(text: string, file: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new UsageError('not a JSON list of entries', { file, cause });
  }
  const isList = Array.isArray(value) && value.every((entry) => typeof entry === 'string' && entry !== '');
  if (!isList) throw new UsageError('the entries must be a JSON list of texts, none of them empty', { file });
  return value as string[];
}
