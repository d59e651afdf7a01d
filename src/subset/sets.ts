import { CancelledError } from '../errors.ts';
import type { Folder, Sink } from '../io/bytes.ts';
import { subsetNpyHeader } from '../uids/npy.ts';
import { CHUNK_ENTRIES, type SubsetFile, sortedInMemory } from './open.ts';

/**
 * Set operations over subset files, as a merge of sorted streams: some megabytes a file, whatever their length. A
 * file that turns out not to be sorted is sorted in memory first. Results are sorted, and byte for byte what
 * `np.save` writes.
 *
 * As sets (default), a uid is in the result once:
 *
 * - `union`: in any of the files (`np.union1d`)
 * - `intersect`: in all of them (`np.intersect1d`)
 * - `minus`: in the first and in none of the others (`np.setdiff1d`)
 *
 * As multisets, uids have counts, and the operations are those of Python's `collections.Counter`:
 *
 * - `union`: the largest count (`|`)
 * - `sum`: all counts together (`+`); always a multiset, `np.sort(np.concatenate(…))`
 * - `intersect`: the smallest count (`&`)
 * - `minus`: the first's less the others' (`-`)
 */
export const SET_OPERATIONS = ['union', 'sum', 'intersect', 'minus'] as const;
export type SetOperation = (typeof SET_OPERATIONS)[number];

export interface SetOptions {
  multiset?: boolean;
  signal?: AbortSignal;
}

export interface SetCounts {
  written: number;
  distinct: number;
}

/**
 * Writes the result to `name` of `folder`, whole or not at all. The files are read twice: the header has the number
 * of entries. Throws `MetadataError`, `OutputError`, `CancelledError`.
 */
export async function combineSubsets(
  operation: SetOperation,
  files: readonly SubsetFile[],
  folder: Folder,
  name: string,
  options: SetOptions = {},
): Promise<SetCounts> {
  const rule = ruleOf(operation, options.multiset ?? false);
  let written = 0;
  let distinct = 0;
  const sorted = await mergeAll(files, options.signal, () => {
    [written, distinct] = [0, 0];
    return (_words, _at, counts) => {
      const copies = rule(counts);
      written += copies;
      if (copies > 0) distinct++;
    };
  });
  const sink = await folder.create(name);
  try {
    await sink.write(subsetNpyHeader(written));
    const out = new Output(sink);
    await merge(
      sorted,
      options.signal,
      (words, at, counts) => out.push(words, at, rule(counts)),
      () => out.flush(),
    );
    await out.flush();
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
  return { written, distinct };
}

/** A uid, the first of `counts[i]` entries of it in file i. */
export type OnUid = (words: Uint32Array, at: number, counts: Uint32Array) => void;

/**
 * Merges files, sorted or not; `begin` is called for each attempt, as one that meets a file out of order is started
 * anew. Returns the files as they were merged.
 */
export async function mergeAll(
  files: readonly SubsetFile[],
  signal: AbortSignal | undefined,
  begin: () => OnUid,
): Promise<SubsetFile[]> {
  const sorted = [...files];
  for (;;) {
    const unsorted = await merge(sorted, signal, begin());
    if (unsorted === undefined) return sorted;
    sorted[unsorted] = await sortedInMemory(sorted[unsorted]);
  }
}

/** How often a uid is in the result, from how often it is in each file. */
function ruleOf(operation: SetOperation, multiset: boolean): (counts: Uint32Array) => number {
  switch (operation) {
    case 'sum':
      return total;
    case 'union':
      return multiset ? (counts) => Math.max(...counts) : () => 1;
    case 'intersect':
      return multiset ? (counts) => Math.min(...counts) : (counts) => (counts.includes(0) ? 0 : 1);
    case 'minus':
      // As sets, a single entry of another file takes all of a uid's away.
      return multiset
        ? (counts) => Math.max(0, 2 * counts[0] - total(counts))
        : (counts) => (counts[0] > 0 && total(counts) === counts[0] ? 1 : 0);
  }
}

function total(counts: Uint32Array): number {
  let sum = 0;
  for (let i = 0; i < counts.length; i++) sum += counts[i];
  return sum;
}

/** A place in one file. */
class Cursor {
  readonly file: SubsetFile;
  words: Uint32Array = new Uint32Array(0);
  /** Entry in `words`. */
  at = 0;
  end = 0;
  #next = 0;

  constructor(file: SubsetFile) {
    this.file = file;
  }

  get isDone(): boolean {
    return this.at === this.end && this.#next === this.file.entries;
  }

  /** Reads on where everything read was taken. Keeps the last entry, which the next has to be compared with. */
  async fill(): Promise<void> {
    if (this.at < this.end || this.#next === this.file.entries) return;
    const start = this.#next;
    this.#next = Math.min(start + CHUNK_ENTRIES, this.file.entries);
    const words = await this.file.words(start, this.#next);
    const kept = start === 0 ? 0 : 1;
    const last = this.words.subarray(4 * (this.end - 1), 4 * this.end);
    this.words = new Uint32Array(words.length + 4 * kept);
    if (kept === 1) this.words.set(last);
    this.words.set(words, 4 * kept);
    this.at = kept;
    this.end = this.words.length / 4;
  }
}

/**
 * One pass over sorted files. `between` is awaited between stretches, when nothing of a file is left to take.
 * Returns the index of a file that is not sorted, where there is one.
 */
async function merge(
  files: readonly SubsetFile[],
  signal: AbortSignal | undefined,
  onUid: OnUid,
  between?: () => Promise<void>,
): Promise<number | undefined> {
  const cursors = files.map((file) => new Cursor(file));
  const current = new Uint32Array(4);
  const counts = new Uint32Array(files.length);
  let open = false;
  for (;;) {
    if (signal?.aborted) throw new CancelledError();
    for (const cursor of cursors) await cursor.fill();
    await between?.();
    const live = cursors.map((cursor, i) => ({ cursor, i })).filter(({ cursor }) => !cursor.isDone);
    if (live.length === 0) break;
    for (;;) {
      let least = live[0];
      for (let i = 1; i < live.length; i++) {
        const { cursor } = live[i];
        if (compare(cursor.words, cursor.at, least.cursor.words, least.cursor.at) < 0) least = live[i];
      }
      const { cursor, i } = least;
      const { words, at } = cursor;
      if (at > 0 && compare(words, at - 1, words, at) > 0) return i;
      if (!open || compare(words, at, current, 0) !== 0) {
        if (open) onUid(current, 0, counts);
        open = true;
        counts.fill(0);
        for (let word = 0; word < 4; word++) current[word] = words[4 * at + word];
      }
      counts[i]++;
      if (++cursor.at === cursor.end) break;
    }
  }
  if (open) onUid(current, 0, counts);
  return undefined;
}

/** `compareUids` with its loop written out: it runs for every entry of every file. */
function compare(a: Uint32Array, i: number, b: Uint32Array, j: number): number {
  const x = 4 * i;
  const y = 4 * j;
  return a[x + 1] - b[y + 1] || a[x] - b[y] || a[x + 3] - b[y + 3] || a[x + 2] - b[y + 2];
}

/** Entries that wait to be written. */
class Output {
  readonly #sink: Sink;
  #words = new Uint32Array(4 * 1024);
  #length = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  push(words: Uint32Array, at: number, copies: number): void {
    while (4 * (this.#length + copies) > this.#words.length) {
      const grown = new Uint32Array(2 * this.#words.length);
      grown.set(this.#words);
      this.#words = grown;
    }
    for (let copy = 0; copy < copies; copy++) {
      const to = 4 * this.#length++;
      for (let word = 0; word < 4; word++) this.#words[to + word] = words[4 * at + word];
    }
  }

  async flush(): Promise<void> {
    if (this.#length === 0) return;
    await this.#sink.write(new Uint8Array(this.#words.buffer, 0, 16 * this.#length));
    this.#length = 0;
  }
}
