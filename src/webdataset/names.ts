/** Names in a WebDataset: of shards, of members, of samples. */
import { UsageError } from '../errors.ts';

export interface MemberName {
  /** What members of one sample share: the path up to the first dot of the file name. */
  key: string;
  /** All behind that dot, lower-cased: `jpg`, `seg.png`, `txt.gz`, or empty. */
  ext: string;
}

/**
 * Splits as webdataset's `base_plus_ext` does, `^((?:.*\/|)[^.]+)[.]([^/]*)$`; `undefined` where that does not match.
 *
 * Not with the expression itself: it is quadratic on hostile names, and `.` leaves out other line ends in Python. Its
 * meaning: the dot is the first one behind some slash, or behind the start, with at least one character and no dot
 * between, and no slash after it. A slash counts only if no line feed lies before it (`.*` does not cross one).
 */
export function splitMemberName(name: string): MemberName | undefined {
  const slash = name.lastIndexOf('/');
  const dot = name.indexOf('.', slash + 1);
  if (dot < 1) return undefined;
  const lineEnd = name.indexOf('\n');
  const lastUsable = lineEnd < 0 ? dot - 2 : Math.min(dot - 2, lineEnd - 1);
  const start = lastUsable < 0 ? 0 : name.lastIndexOf('/', lastUsable) + 1;
  if (name.indexOf('.', start) !== dot) return undefined;
  return { key: name.slice(0, dot), ext: name.slice(dot + 1).toLowerCase() };
}

/** Names that webdataset passes over: those that begin with `__…__` as a whole first folder or name. */
export function isMetaName(name: string): boolean {
  if (!name.startsWith('__')) return false;
  const slash = name.indexOf('/');
  // Python's `$` also stands before a last line feed.
  const first = slash < 0 ? name.replace(/\n$/, '') : name.slice(0, slash);
  return first.length >= 4 && first.endsWith('__');
}

const ENDINGS = ['.tar.gz', '.tgz', '.tar'];

/**
 * What a shard's outputs are named after: `pool/00012.tar.gz` → `00012`. Throws `UsageError` where nothing is left
 * that a file could safely be named, and for names that would be read as metadata by themselves.
 */
export function shardBaseName(path: string): string {
  const file = path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
  const ending = ENDINGS.find((end) => file.toLowerCase().endsWith(end)) ?? '';
  const base = file.slice(0, file.length - ending.length);
  if (base === '' || base.startsWith('.') || /[\0-\x1f]/.test(base)) {
    const hint = 'Rename the file, or give a tar on stdin a --name';
    throw new UsageError(`no output can be named after the shard ${JSON.stringify(path)}`, { hint });
  }
  if (base.includes('.parquet')) {
    const hint = "DataComp's scripts take every path with .parquet in it for metadata: rename the file";
    throw new UsageError(`the shard name ${JSON.stringify(path)} contains .parquet`, { hint });
  }
  return base;
}

/** Whether a file's name says that it is a shard. */
export function isShardName(name: string): boolean {
  const lower = name.toLowerCase();
  return ENDINGS.some((end) => lower.endsWith(end) && lower.length > end.length);
}
