import { UsageError } from '../errors.ts';

/** Turns a shard's number into its file name, and knows such names again. */
export interface ShardNames {
  /** As given, in Python's `str.format` syntax, which DataComp's train.py applies. */
  format: string;
  name(index: number): string;
  /** Whether a file name is one that this format gives. */
  matches(file: string): boolean;
}

/** DataComp's default. */
export const DEFAULT_SHARD_FORMAT = '{:08d}.tar';

/** More digits than any count of shards has. */
const MAX_WIDTH = 16;

/**
 * Understands one field of the kinds `{}`, `{:d}`, `{:08d}`, with letters, digits, `.`, `_` and `-` around it and
 * `.tar` at the end. Throws `UsageError` at anything else.
 */
export function parseShardFormat(format: string): ShardNames {
  const parts = /^([\w.-]*)\{0?(?::(0?)(\d*)d?)?\}([\w.-]*)\.tar$/.exec(format);
  const width = Number(parts?.[3] ?? 0);
  const isPadded = width === 0 || parts?.[2] === '0';
  if (!parts || width > MAX_WIDTH || !isPadded || format.startsWith('.') || format.includes('.parquet')) {
    throw new UsageError(`the shard format ${JSON.stringify(format)} is not understood`, {
      hint: `It is a file name with one number in Python's syntax, such as ${DEFAULT_SHARD_FORMAT} or part-{:05d}.tar`,
    });
  }
  const [, before, , , after] = parts;
  const pattern = new RegExp(`^${literal(before)}(\\d+)${literal(after)}\\.tar$`);
  const name = (index: number) => `${before}${String(index).padStart(width, '0')}${after}.tar`;
  return {
    format,
    name,
    matches(file) {
      const digits = pattern.exec(file)?.[1];
      return digits !== undefined && name(Number(digits)) === file;
    },
  };
}

function literal(text: string): string {
  return text.replaceAll(/[.]/g, '\\.');
}

/** The number in a shard's base name: the last run of digits, as the reference's formats place it. */
export function shardNumber(base: string): number | undefined {
  const digits = /(\d+)\D*$/.exec(base)?.[1];
  return digits === undefined ? undefined : Number(digits);
}
