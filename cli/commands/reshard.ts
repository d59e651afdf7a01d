import { Command } from 'commander';
import { failuresAllowed, type MaxFailed } from '../../src/run/outcome.ts';
import type { Part } from '../../src/run/part.ts';
import type { ReshardReport } from '../../src/subset/reshard.ts';
import { EXIT } from '../exit.ts';
import { reshardShards } from '../jobs/reshard.ts';
import { SHARED } from '../options.ts';
import { reshardLines, reshardSummary } from '../ui/report.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';
import { watchRun } from './watch.ts';

export interface ReshardFlags extends CommonFlags {
  subset: string;
  out: string;
  name?: string;
  uid: string;
  names: 'key' | 'uid';
  shardSize: number;
  shardBytes: number;
  shardFormat: string;
  allowTruncated?: boolean;
  allowFailed?: boolean;
  shardIndex?: Part;
  maxFailed?: MaxFailed;
}

export function reshardCommand({ signal, done }: Context): Command {
  return new Command('reshard')
    .description('Copy the samples that a subset names into new shards, verbatim and in order.')
    .argument('<shards...>', 'files, folders, globs, ranges {00000..00012}, @list.txt, or - for stdin')
    .requiredOption('-s, --subset <subset.npy>', 'the subset file')
    .requiredOption('-o, --out <dir>', 'folder of the new shards')
    .addOption(SHARED.name())
    .addOption(SHARED.uid())
    .addOption(SHARED.names())
    .addOption(SHARED.shardSize())
    .addOption(SHARED.shardBytes())
    .addOption(SHARED.shardFormat())
    .addOption(SHARED.allowTruncated())
    .addOption(SHARED.allowFailed())
    .addOption(SHARED.maxFailed())
    .addOption(SHARED.shardIndex())
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve reshard pool/ --subset subset.npy --out shards
  shardsieve reshard pool/ --subset subset.npy --out shards --names uid --shard-size 5000
  shardsieve reshard pool/ --subset subset.npy --shard-index 0/4 --out part-0    then shardsieve merge part-* --out shards`,
    )
    .action(async (shards: string[], flags: ReshardFlags) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const watcher = watchRun(terminal);
      const started = performance.now();
      const { subset, out, name, uid, names, shardSize, shardBytes, shardFormat } = flags;
      const report = await reshardShards({
        shards,
        ...{ subset, out, name, uid, names, shardSize, shardBytes, shardFormat, signal },
        part: flags.shardIndex,
        onEvent: watcher.onEvent,
      }).finally(() => watcher.close());
      const seconds = (performance.now() - started) / 1000;
      if (flags.json) terminal.out(`${JSON.stringify(reshardSummary(report, seconds))}\n`);
      else terminal.out(`${reshardLines(report).join('\n')}\nwritten to ${out}\n`);
      done(reshardFailed(report, flags) ? EXIT.failed : EXIT.done);
    });
}

/** Whether an input that could not be read to its end makes the run a failed one. */
export function reshardFailed(
  report: ReshardReport,
  allowed: { allowTruncated?: boolean; allowFailed?: boolean; maxFailed?: MaxFailed },
): boolean {
  const failed = report.inputs.filter(({ error }) => {
    if (error === undefined) return false;
    return error.problem === 'truncated' ? !allowed.allowTruncated : !allowed.allowFailed;
  });
  const most = allowed.maxFailed === undefined ? 0 : failuresAllowed(allowed.maxFailed, report.inputs.length);
  return failed.length > most;
}
