/**
 * Every error Shardsieve raises on purpose. Callers match on `code`; people read the message, which says
 * what was wrong and where, and the hint, which says what to do.
 */

/**
 * - `usage`: the command line or the arguments are wrong (exit code 2)
 * - `shard`: one shard cannot be read; the others go on
 * - `sample`: one sample cannot be scored; it is counted and the shard goes on
 * - `model`: a checkpoint, config or tensor is not what it must be
 * - `device`: the device that was named is not there, or cannot run what it is asked to
 * - `metadata`: a metadata folder, parquet, npz or subset file is not what it must be
 * - `download`: the hub or another host did not give what was asked
 * - `output`: something could not be written
 * - `accounting`: the numbers do not add up (exit code 3)
 * - `busy`: a server has more work waiting than it takes on
 * - `cancelled`: a signal or the caller stopped the work
 */
export type ErrorCode =
  | 'usage'
  | 'shard'
  | 'sample'
  | 'model'
  | 'device'
  | 'metadata'
  | 'download'
  | 'output'
  | 'accounting'
  | 'busy'
  | 'cancelled';

/** Where it happened; only what is known is set. `offset` is in bytes from the start of the (decompressed) shard. */
export interface Where {
  shard?: string;
  key?: string;
  member?: string;
  offset?: number;
  file?: string;
  column?: string;
  tensor?: string;
  url?: string;
}

export interface ErrorDetails extends Where {
  /** What the reader of the message can do about it. */
  hint?: string;
  cause?: unknown;
}

export class ShardsieveError extends Error {
  readonly code: ErrorCode;
  readonly where: Where;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    const { hint, cause, ...where } = details;
    super(describe(message, where, hint), cause === undefined ? undefined : { cause });
    this.name = 'ShardsieveError';
    this.code = code;
    this.where = where;
    this.hint = hint;
  }
}

export class UsageError extends ShardsieveError {
  constructor(message: string, details?: ErrorDetails) {
    super('usage', message, details);
    this.name = 'UsageError';
  }
}

/** Why a shard could not be read to its end. `truncated` keeps what was whole; the others fail the shard. */
export type ShardProblem = 'truncated' | 'corrupt' | 'not_a_tar' | 'empty' | 'missing' | 'unreadable';

export class ShardError extends ShardsieveError {
  readonly problem: ShardProblem;
  constructor(problem: ShardProblem, message: string, details?: ErrorDetails) {
    super('shard', message, details);
    this.name = 'ShardError';
    this.problem = problem;
  }
}

/** Why a sample was not scored: one reason each, counted in the shard's stats, one line in `<shard>_skipped.jsonl`. */
export const SKIP_REASONS = [
  'no_image',
  'no_caption',
  'empty_caption',
  'caption_not_utf8',
  'caption_too_long',
  'undecodable_image',
  'image_too_large',
  'member_too_large',
  'bad_json',
  'bad_uid',
  'bad_member',
  'repeated_member',
  'repeated_key',
  'truncated',
  'unsupported_at_edge',
] as const;
export type SkipReason = (typeof SKIP_REASONS)[number];

export class SampleError extends ShardsieveError {
  readonly reason: SkipReason;
  constructor(reason: SkipReason, message: string, details?: ErrorDetails) {
    super('sample', message, details);
    this.name = 'SampleError';
    this.reason = reason;
  }
}

export class ModelError extends ShardsieveError {
  constructor(message: string, details?: ErrorDetails) {
    super('model', message, details);
    this.name = 'ModelError';
  }
}

export class DeviceError extends ShardsieveError {
  constructor(message: string, details?: ErrorDetails) {
    super('device', message, details);
    this.name = 'DeviceError';
  }
}

export class MetadataError extends ShardsieveError {
  constructor(message: string, details?: ErrorDetails) {
    super('metadata', message, details);
    this.name = 'MetadataError';
  }
}

export class DownloadError extends ShardsieveError {
  constructor(message: string, details?: ErrorDetails) {
    super('download', message, details);
    this.name = 'DownloadError';
  }
}

export class OutputError extends ShardsieveError {
  constructor(message: string, details?: ErrorDetails) {
    super('output', message, details);
    this.name = 'OutputError';
  }
}

export class AccountingError extends ShardsieveError {
  constructor(message: string, details?: ErrorDetails) {
    super('accounting', message, details);
    this.name = 'AccountingError';
  }
}

/** `retryAfter`: seconds until there is probably room. */
export class BusyError extends ShardsieveError {
  readonly retryAfter: number;
  constructor(message: string, retryAfter: number, details?: ErrorDetails) {
    super('busy', message, { hint: `Try again in ${retryAfter} s`, ...details });
    this.name = 'BusyError';
    this.retryAfter = retryAfter;
  }
}

export class CancelledError extends ShardsieveError {
  constructor(message = 'stopped', details?: ErrorDetails) {
    super('cancelled', message, details);
    this.name = 'CancelledError';
  }
}

/** True for any error above, also across two copies of the package. */
export function isShardsieveError(error: unknown): error is ShardsieveError {
  return error instanceof Error && 'code' in error && 'where' in error && error.name.endsWith('Error');
}

/** The message of anything thrown, without a stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function describe(message: string, where: Where, hint: string | undefined): string {
  const places = Object.entries(where)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name} ${value}`);
  const place = places.length > 0 ? ` (${places.join(', ')})` : '';
  return `${message}${place}${hint === undefined ? '' : `. ${hint}`}`;
}
