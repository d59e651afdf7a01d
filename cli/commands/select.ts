import { Command } from 'commander';
import { UsageError } from '../../src/errors.ts';
import { EXIT } from '../exit.ts';
import { selectSubset } from '../jobs/select.ts';
import { SHARED } from '../options.ts';
import { printRecipe } from '../recipes/file.ts';
import { explainLines } from '../ui/funnel.ts';
import { selectLines, selectSummary } from '../ui/report.ts';
import { StepProgress } from '../ui/step-progress.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';
import { addSelectOptions, type SelectFlags, selectionOf } from './select-flags.ts';

interface Flags extends CommonFlags, SelectFlags {
  out?: string;
  dryRun?: boolean;
  allowPartial?: boolean;
  printRecipe?: boolean;
}

export function selectCommand({ signal, done }: Context): Command {
  const command = new Command('select')
    .description('Select rows of metadata; writes a DataComp subset file, and beside it what was done.')
    .argument('<metadata...>', 'folders of metadata: Shardsieve’s, DataComp’s or dataset2metadata’s')
    .option('-o, --out <subset.npy>', 'the subset file to write');
  return addSelectOptions(command)
    .option('--allow-partial', 'take a fraction although parts of the pool are not there')
    .option(
      '--dry-run',
      'write nothing; print what each filter costs, how they overlap, and the scores’ quantiles',
    )
    .option('--print-recipe', 'write nothing; print the recipe of this command')
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve select metadata --fraction 0.3 --out subset.npy
  shardsieve select metadata --threshold 0.28 --column clip_b32_similarity_score --out subset.npy
  shardsieve select metadata --preset basic_filter --out basic.npy
  shardsieve select metadata --preset clip_score --arch l14 --fraction 0.3 --out clip.npy
  shardsieve select metadata --where "least(original_width, original_height) >= 200" --fraction 0.3 --of rest --dry-run
  shardsieve select metadata --filter '{unique: {by: sha256}}' --block domain:bad.txt --fraction 0.3 --out subset.npy

Filters apply in this order: the recipe's, --block, --safe, --where, --preset, --filter, and the score's bound.`,
    )
    .action(async (metadata: string[], flags: Flags) => {
      const { out, dryRun = false, allowPartial } = flags;
      const choice = await selectionOf(flags);
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      if (flags.printRecipe) {
        const { filters, join, strict, multiset, lid } = choice;
        const repeats = multiset ? 'keep' : 'drop';
        terminal.out(
          printRecipe({
            metadata,
            ...(lid === undefined ? {} : { annotate: { lid } }),
            join,
            filters,
            strict,
            repeats,
            subset: out,
          }),
        );
        return done(EXIT.done);
      }
      if (out === undefined && !dryRun)
        throw new UsageError('say where the subset goes: --out subset.npy, or --dry-run');
      const started = performance.now();
      const steps = new StepProgress(terminal);
      const totals = await selectSubset({
        ...{ metadata, ...choice, allowPartial, signal },
        out: dryRun ? undefined : out,
        explain: dryRun,
        onProgress: steps.onProgress,
      }).finally(() => steps.close());
      const seconds = (performance.now() - started) / 1000;
      if (flags.json) {
        for (const note of totals.notes) terminal.err(`${note}\n`);
        terminal.out(`${JSON.stringify(selectSummary(totals, seconds))}\n`);
      } else {
        const lines = dryRun ? explainLines(totals) : [...selectLines(totals), `written to ${out}`];
        terminal.out(`${lines.join('\n')}\n`);
      }
      done(EXIT.done);
    });
}
