import { Command, InvalidArgumentError } from 'commander';
import type { Comparison, Overlap } from '../../src/select/compare.ts';
import { EXIT } from '../exit.ts';
import { compareScores, DEFAULT_FRACTIONS } from '../jobs/compare.ts';
import { finite, repeated, SHARED, share } from '../options.ts';
import { count, percent, plural } from '../ui/format.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

interface CompareFlags extends CommonFlags {
  column?: string[];
  fractions: number[];
  threshold?: number;
}

export function compareCommand({ signal, done }: Context): Command {
  return new Command('compare')
    .description('Compare the scores of one pool in two metadata folders, and what is selected by them.')
    .argument('<a>', 'a metadata folder')
    .argument('<b>', 'another one of the same pool')
    .option(
      '--column <column>',
      'the score to compare; give it twice for one in A and another in B (default: the only one in each)',
      repeated,
    )
    .option('--fractions <list>', 'shares of the rows to select in both', shares, DEFAULT_FRACTIONS)
    .option('--threshold <t>', 'count the rows that only one of the scores lets over this', finite)
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve compare fp32 int8 --threshold 0.28
  shardsieve compare both both --column dcb32_256 --column dcb32_256_int8
  shardsieve compare ours datacomp/metadata --column b32

Rows are joined by uid and key, by uid alone where a folder has no keys.`,
    )
    .action(async (a: string, b: string, flags: CompareFlags) => {
      const { column, fractions, threshold } = flags;
      if ((column?.length ?? 0) > 2) throw new InvalidArgumentError('--column is given once or twice');
      const found = await compareScores({
        folders: [a, b],
        ...(column === undefined ? {} : { columns: [column[0], column[1] ?? column[0]] }),
        ...{ fractions, threshold, signal },
      });
      const terminal = openTerminal({ quiet: true });
      terminal.out(flags.json ? `${JSON.stringify(found)}\n` : `${compareLines(found, [a, b]).join('\n')}\n`);
      done(EXIT.done);
    });
}

function shares(text: string): number[] {
  return text.split(',').map(share);
}

export function compareLines(found: Comparison, [a, b]: readonly [string, string]): string[] {
  const { columns, rows, scores, fractions, threshold } = found;
  const figure = (value: number | null, digits = 5): string => (value === null ? '–' : value.toFixed(digits));
  const alone = [
    rows.onlyFirst > 0 ? `${count(rows.onlyFirst)} only in A` : '',
    rows.onlySecond > 0 ? `${count(rows.onlySecond)} only in B` : '',
    rows.unscored > 0 ? `${count(rows.unscored)} without a score in one of them` : '',
  ].filter((text) => text !== '');
  return [
    `A: ${columns[0]} in ${a}`,
    `B: ${columns[1]} in ${b}`,
    `${plural(rows.both, 'row')} in both${alone.length > 0 ? `; ${alone.join(', ')}` : ''}`,
    `difference of scores: at most ${figure(scores.maxAbsolute)}, mean ${figure(scores.meanAbsolute)}; B − A is ${figure(scores.mean)} in the mean`,
    `Spearman's rank correlation: ${figure(scores.spearman, 6)}`,
    ...fractions.map((part) => `best ${percent(part.fraction, 1)}: ${overlapText(part)}`),
    ...(threshold === undefined
      ? []
      : [
          `at or above ${threshold.threshold}: ${overlapText(threshold)}; ${plural(threshold.lost + threshold.gained, 'row flips', 'rows flip')}, ${count(threshold.lost)} out and ${count(threshold.gained)} in`,
        ]),
  ];
}

function overlapText({ kept, both, jaccard, share }: Overlap): string {
  return `A keeps ${count(kept[0])}, B ${count(kept[1])}, both ${count(both)}: ${percent(share, 1)} of A's, Jaccard ${jaccard.toFixed(4)}`;
}
