import { UsageError } from '../errors.ts';

/**
 * One of several machines' shares of a list of shards. Every machine expands the same list; which part is whose
 * follows from the list's order alone, so the union of the parts is the list, whoever launches them.
 */
export interface Part {
  /** From 0. */
  index: number;
  count: number;
}

/** More parts than any list of shards has shards. */
const MAX_PARTS = 10_000_000;

/** `2/8` is the third of eight parts. `undefined` where the text is not that, or the index is not below the count. */
export function parsePart(text: string): Part | undefined {
  const match = /^(\d{1,8})\/(\d{1,8})$/.exec(text);
  if (match === null) return undefined;
  const [index, count] = [Number(match[1]), Number(match[2])];
  return index < count && count <= MAX_PARTS ? { index, count } : undefined;
}

/** `2/8`. */
export function formatPart({ index, count }: Part): string {
  return `${index}/${count}`;
}

/**
 * The items of one part: a run of neighbours, so that what the parts write, laid end to end, has the order of the
 * whole. Sizes differ by one at most. Throws `UsageError` where there are more parts than items: one would be empty,
 * which is a mistake in the numbers and the same for every part.
 */
export function takePart<T>(items: readonly T[], part: Part | undefined): T[] {
  if (part === undefined) return [...items];
  const { index, count } = part;
  if (count > items.length) {
    throw new UsageError(
      `--shard-index ${formatPart(part)} makes ${count} parts of ${items.length} ${items.length === 1 ? 'input' : 'inputs'}`,
      { hint: `There can be at most ${items.length} parts, and every machine needs the whole list` },
    );
  }
  const at = (i: number): number => Math.floor((i * items.length) / count);
  return items.slice(at(index), at(index + 1));
}
