import { Command } from 'commander';
import { EXIT } from '../exit.ts';
import { type MergeTotals, mergeParts } from '../jobs/merge.ts';
import { SHARED } from '../options.ts';
import { count, plural } from '../ui/format.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

interface MergeFlags extends CommonFlags {
  out: string;
  partial?: boolean;
}

export function mergeCommand({ signal, done }: Context): Command {
  return new Command('merge')
    .description('Make one folder of what several machines wrote: metadata, or resharded samples.')
    .argument('<parts...>', 'folders of metadata, or of shards that reshard wrote, in the order of the parts')
    .requiredOption('-o, --out <dir>', 'the folder to write or complete')
    .option('--partial', 'merge although parts are missing or not complete')
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve merge part-*/metadata --out metadata
  shardsieve merge shards-0 shards-1 shards-2 --out shards

Files are hard-linked where one disk holds both. A merge that was stopped is taken up by the same command.
Subset files are merged by \`shardsieve subset union\`, with --multiset by \`shardsieve subset sum\`.`,
    )
    .action(async (parts: string[], flags: MergeFlags) => {
      const terminal = openTerminal({ quiet: false });
      const { out, partial } = flags;
      const totals = await mergeParts({ parts, out, partial, signal });
      if (flags.json) terminal.out(`${JSON.stringify(totals)}\n`);
      else terminal.out(`${lines(totals).join('\n')}\nwritten to ${out}\n`);
      done(EXIT.done);
    });
}

function lines(totals: MergeTotals): string[] {
  if (totals.kind === 'shards') {
    return [`${plural(totals.samples, 'sample')} in ${plural(totals.shards, 'shard')}`];
  }
  const { shards, rows, there, repeated, failed, pending, missing } = totals;
  const text = [`${plural(rows, 'row')} of ${plural(shards, 'shard')}`];
  if (there > 0) text.push(`${plural(there, 'shard')} already there`);
  if (repeated > 0) text.push(`${plural(repeated, 'shard')} in more than one part, taken once`);
  if (failed.length > 0) text.push(`failed and not there: ${named(failed)}`);
  if (pending.length > 0) text.push(`not scored yet: ${named(pending)}`);
  if (missing.length > 0) {
    text.push(`parts not there: ${named(missing.map(({ index, count }) => `${index}/${count}`))}`);
  }
  return text;
}

function named(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${count(names.length - 5)} more` : shown;
}
