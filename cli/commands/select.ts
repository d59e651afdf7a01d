import { Command } from 'commander';
import { UsageError } from '../../src/errors.ts';
import { EXIT } from '../exit.ts';
import { selectSubset } from '../jobs/select.ts';
import { SHARED } from '../options.ts';
import { selectLines, selectSummary } from '../ui/report.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

interface SelectFlags extends CommonFlags {
  out: string;
  threshold?: number;
  fraction?: number;
  column?: string;
  multiset?: boolean;
}

export function selectCommand({ done }: Context): Command {
  return new Command('select')
    .description('Select rows of metadata by a score; writes a DataComp subset file.')
    .argument('<metadata...>', 'folders of metadata: Shardsieve’s, DataComp’s or dataset2metadata’s')
    .requiredOption('-o, --out <subset.npy>', 'the subset file to write')
    .addOption(SHARED.threshold())
    .addOption(SHARED.fraction())
    .addOption(SHARED.column())
    .addOption(SHARED.multiset())
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve select metadata --fraction 0.3 --out subset.npy
  shardsieve select metadata --threshold 0.28 --column clip_b32_similarity_score --out subset.npy`,
    )
    .action(async (metadata: string[], flags: SelectFlags) => {
      requireBound(flags);
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const started = performance.now();
      const { out, threshold, fraction, column, multiset } = flags;
      const totals = await selectSubset({ metadata, out, threshold, fraction, column, multiset });
      const seconds = (performance.now() - started) / 1000;
      if (flags.json) {
        for (const note of totals.notes) terminal.err(`${note}\n`);
        terminal.out(`${JSON.stringify(selectSummary(totals, seconds))}\n`);
      } else terminal.out(`${selectLines(totals).join('\n')}\nwritten to ${out}\n`);
      done(EXIT.done);
    });
}

/** One of the two bounds has to be given; that both are not, the parser has seen to. */
export function requireBound(flags: { threshold?: number; fraction?: number }): void {
  if (flags.threshold === undefined && flags.fraction === undefined) {
    throw new UsageError('say which samples to keep', { hint: 'Add --threshold 0.28 or --fraction 0.3' });
  }
}
