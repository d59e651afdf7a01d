import { Command, Option } from 'commander';
import { EXIT } from '../exit.ts';
import { reportSafety } from '../jobs/safety-report.ts';
import { finite, repeated, SHARED } from '../options.ts';
import { safetyLines } from '../ui/safety-report.ts';
import { StepProgress } from '../ui/step-progress.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

export function safetyCommand(context: Context): Command {
  return new Command('safety')
    .description('What a safe subset costs, by the safety columns of metadata.')
    .addCommand(reportCommand(context))
    .addHelpText('after', '\nExample:\n  shardsieve safety report metadata --out report');
}

interface Flags extends CommonFlags {
  column?: string[];
  threshold?: number[];
  by?: string[];
  labels?: string;
  positive?: string;
  out?: string;
  showUnsafe?: 'blurred' | 'clear';
  shards?: string[];
  uid?: string;
}

function reportCommand({ signal, done }: Context): Command {
  return new Command('report')
    .description(
      'What thresholds remove and from whom, how the heads agree, and on labels how right they are.',
    )
    .argument('<metadata...>', 'folders of metadata with safety columns')
    .option('-o, --out <out>', 'a folder for report.json and report.html, or one file of either kind')
    .option('--labels <csv>', 'a CSV with the columns uid and label (0 and 1, or names)')
    .option('--positive <label>', 'which label is looked for, where they are names')
    .option('--by <column>', 'group by this column too; repeatable', repeated)
    .option(
      '--column <column>',
      'look at this column; repeatable (default: punsafe, nsfw_* and safety_*)',
      repeated,
    )
    .option(
      '--threshold <t>',
      'look at this threshold of every column instead of unsure and nsfw; repeatable',
      (text: string, before: number[] | undefined) => [...(before ?? []), finite(text)],
    )
    .addOption(
      new Option(
        '--show-unsafe [how]',
        'also show rows at the edge of the first threshold, captions folded away; pictures blurred, or clear',
      )
        .choices(['blurred', 'clear'])
        .preset('blurred'),
    )
    .option('--shards <shards>', 'take the pictures to show from these shards; repeatable', repeated)
    .addOption(SHARED.uid())
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve safety report metadata
  shardsieve safety report metadata --labels labels.csv --by domain --out report
  shardsieve safety report metadata --threshold 0.05 --threshold 0.2 --column punsafe --out report.html
  shardsieve safety report metadata --show-unsafe --shards pool/ --out report

Unsafe pictures and captions are never written without --show-unsafe. With it, the page has thumbnails of twelve pixels,
which nothing can make sharp again; --show-unsafe=clear has real ones, folded away. docs/safety.md says more.`,
    )
    .action(async (metadata: string[], flags: Flags) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const steps = new StepProgress(terminal);
      const { column: columns, threshold: thresholds, ...rest } = flags;
      const { report, written } = await reportSafety({
        ...{ ...rest, metadata, columns, thresholds, signal },
        onProgress: steps.onProgress,
      }).finally(() => steps.close());
      if (flags.json) {
        for (const note of report.notes) terminal.err(`${note}\n`);
        terminal.out(`${JSON.stringify(report)}\n`);
      } else {
        for (const line of safetyLines(report)) terminal.out(`${line}\n`);
        for (const file of written) terminal.out(`written to ${file}\n`);
      }
      done(EXIT.done);
    });
}
