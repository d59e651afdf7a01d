import { AccountingError, UsageError } from '../src/errors.ts';

export const EXIT = { done: 0, failed: 1, usage: 2, accounting: 3 } as const;

export function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof AccountingError) return EXIT.accounting;
  return EXIT.failed;
}
