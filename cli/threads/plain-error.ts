/** Errors on their way between threads: a structured clone keeps neither class nor fields of one. */
import {
  CancelledError,
  DeviceError,
  isShardsieveError,
  ModelError,
  messageOf,
  SampleError,
  type SkipReason,
} from '../../src/errors.ts';

export interface PlainError {
  code?: string;
  /** Says where and what to do, too. */
  message: string;
  reason?: SkipReason;
}

export function plainError(error: unknown): PlainError {
  const message = messageOf(error);
  if (error instanceof SampleError) return { code: error.code, message, reason: error.reason };
  return isShardsieveError(error) ? { code: error.code, message } : { message };
}

/** What is none of ours comes as a `ModelError`, which no shard goes on after. */
export function errorFrom({ code, message, reason }: PlainError): Error {
  if (code === 'sample' && reason !== undefined) return new SampleError(reason, message);
  if (code === 'device') return new DeviceError(message);
  if (code === 'cancelled') return new CancelledError(message);
  return new ModelError(message);
}
