import { AccountingError } from '../errors.ts';
import type { Batch, Numbers, PoolFile, Scanner } from './scan.ts';

/** A scanner that gives other numbers for one column than the files hold: `values` are those of the pool's rows. */
export function replaceColumn(scanner: Scanner, column: string, values: Numbers): Scanner {
  const numbersOf = (start: number, rows: number) => values.subarray(start, start + rows);
  return {
    ...(scanner.joined === undefined ? {} : { joined: scanner.joined }),
    async *scan(files, requests, options) {
      const others = requests.filter(({ name }) => name !== column);
      if (others.length === requests.length) {
        yield* scanner.scan(files, requests, options);
        return;
      }
      // Nothing of the files has to be read.
      if (others.length === 0) {
        for (const file of files)
          if (file.rows > 0) yield onlyNumbers(file, numbersOf(file.start, file.rows));
        return;
      }
      for await (const batch of scanner.scan(files, others, options)) {
        const { file, start, rows } = batch;
        yield {
          ...{ file, start, rows },
          numbers: (name) => (name === column ? numbersOf(start, rows) : batch.numbers(name)),
          texts: (name) => batch.texts(name),
          flags: (name) => batch.flags(name),
          uids: () => batch.uids(),
        };
      }
    },
  };
}

function onlyNumbers(file: PoolFile, numbers: Numbers): Batch {
  const none = (): never => {
    throw new AccountingError('a column was read that was not asked for', { file: file.name });
  };
  return {
    ...{ file, start: file.start, rows: file.rows },
    ...{ numbers: () => numbers, texts: none, flags: none, uids: none },
  };
}
