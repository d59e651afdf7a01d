import { Command, InvalidArgumentError } from 'commander';
import { UsageError } from '../../src/errors.ts';
import type { Part } from '../../src/io/part.ts';
import { failuresAllowed, type MaxFailed } from '../../src/run/outcome.ts';
import type { ReshardReport } from '../../src/subset/reshard.ts';
import { EXIT } from '../exit.ts';
import type { FaceFlags } from '../jobs/faces.ts';
import { removeFromShards } from '../jobs/remove.ts';
import { type ReshardOptions, reshardShards } from '../jobs/reshard.ts';
import { positiveInteger, repeated, SHARED, wholeNumber } from '../options.ts';
import { removeLines, removeSummary, reshardLines, reshardSummary } from '../ui/reshard-report.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';
import { watchRun } from './watch.ts';

/** Those of the library's options that have flags of their names; some of them have defaults here. */
type OptionFlags = Required<
  Pick<ReshardOptions, 'uid' | 'names' | 'shardSize' | 'shardBytes' | 'shardFormat'>
> &
  Pick<
    ReshardOptions,
    | 'name'
    | 'outputFirstShard'
    | 'firstShard'
    | 'numShards'
    | 'shuffleBuffer'
    | 'seed'
    | 'overwrite'
    | 'dryRun'
    | 'retryFailed'
  >;

export interface ReshardFlags extends CommonFlags, FaceFlags, OptionFlags {
  subset?: string;
  out?: string;
  remove?: string;
  allowTruncated?: boolean;
  allowFailed?: boolean;
  shardIndex?: Part;
  maxFailed?: MaxFailed;
}

/** What `--remove` goes with; any other option would have no effect. */
const WITH_REMOVE = ['remove', 'uid', 'dryRun', 'quiet', 'json', 'allowFailed'];

export function reshardCommand({ signal, done }: Context): Command {
  return new Command('reshard')
    .description(
      'Copy the samples that a subset names into new shards, verbatim and in order; or remove samples.',
    )
    .argument('<shards...>', 'files, folders, globs, ranges {00000..00012}, @list.txt, or - for stdin')
    .option('-s, --subset <subset.npy>', 'the subset file')
    .option('-o, --out <dir>', 'folder of the new shards')
    .option(
      '--remove <uids.txt>',
      'instead: take these uids (text or npy) out of the shards of a folder, in place',
    )
    .addOption(SHARED.name())
    .addOption(SHARED.uid())
    .addOption(SHARED.names())
    .addOption(SHARED.shardSize())
    .addOption(SHARED.shardBytes())
    .addOption(SHARED.shardFormat())
    .option('--output-first-shard <n>', 'number of the first output shard (default: 0)', wholeNumber)
    .option(
      '--first-shard <n>',
      'read only shards numbered n and up, by the numbers in their names',
      wholeNumber,
    )
    .option('--num-shards <n>', 'read only so many numbers, from --first-shard on', positiveInteger)
    .option('--shuffle-buffer <n>', 'shuffle through a buffer of so many samples', positiveInteger)
    .option('--seed <n>', 'of the shuffle (default: 0)', wholeNumber)
    .option('--apply-blur', 'blur the boxes of faces; those pictures are encoded anew as WebP')
    .option('--inject-blur-metadata', 'write the boxes of faces into the JSON of the samples')
    .option(
      '--metadata <dir>',
      'metadata with face_bboxes by uid (default: those in the JSON); repeatable',
      repeated,
    )
    .option('--blur-metadata-map <file>', "DataComp's map from parquets to shards, instead of --metadata")
    .option('--webp-quality <q>', 'of blurred pictures, 1 to 100 (default: 100)', percentage)
    .option('--dry-run', 'count everything, write nothing')
    .option('--overwrite', 'write into a folder that Shardsieve did not write')
    .addOption(SHARED.allowTruncated())
    .addOption(SHARED.allowFailed())
    .addOption(SHARED.maxFailed())
    .option('--retry-failed', 'read only inputs that failed in the earlier run into --out, and complete it')
    .addOption(SHARED.shardIndex())
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve reshard pool/ --subset subset.npy --out shards
  shardsieve reshard pool/ --subset subset.npy --out shards --names uid --shard-size 5000
  shardsieve reshard pool/ --subset subset.npy --out shards --shuffle-buffer 10000 --seed 1
  shardsieve reshard pool/ --subset subset.npy --out shards --apply-blur --metadata metadata/
  shardsieve reshard pool/ --subset subset.npy --shard-index 0/4 --out part-0    then shardsieve merge part-* --out shards
  shardsieve reshard shards/ --remove uids.txt --dry-run`,
    )
    .action(async (shards: string[], flags: ReshardFlags, command: Command) => {
      const given = Object.keys(flags).filter((name) => command.getOptionValueSource(name) !== 'default');
      const run = flags.remove === undefined ? copySamples : removeSamples;
      done(await run(shards, flags, { given, signal }));
    });
}

interface Run {
  /** Names of the options that were given. */
  given: readonly string[];
  signal: AbortSignal;
}

async function copySamples(shards: string[], flags: ReshardFlags, { signal }: Run): Promise<number> {
  const { subset, out, quiet, json, dryRun } = flags;
  if (subset === undefined || out === undefined) {
    throw new UsageError(`--${subset === undefined ? 'subset' : 'out'} is missing`, {
      hint: 'reshard copies what --subset names to --out; with --remove it changes a folder in place',
    });
  }
  const terminal = openTerminal({ quiet: quiet ?? false });
  const watcher = watchRun(terminal);
  const started = performance.now();
  const report = await reshardShards({
    ...{ ...flags, subset, out, shards, signal },
    part: flags.shardIndex,
    onEvent: watcher.onEvent,
  }).finally(() => watcher.close());
  const seconds = (performance.now() - started) / 1000;
  if (json) terminal.out(`${JSON.stringify(reshardSummary(report, seconds))}\n`);
  else terminal.out(`${[...reshardLines(report, dryRun), dryRun ? '' : `written to ${out}\n`].join('\n')}`);
  return reshardFailed(report, flags) ? EXIT.failed : EXIT.done;
}

async function removeSamples(shards: string[], flags: ReshardFlags, { given, signal }: Run): Promise<number> {
  const [folder, ...more] = shards;
  if (more.length > 0) {
    throw new UsageError('--remove works on one folder of shards', { hint: 'Run it once for each folder' });
  }
  const idle = given.find((name) => !WITH_REMOVE.includes(name));
  if (idle !== undefined) {
    const option = idle.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new UsageError(`--${option} does not go with --remove, which changes a folder in place`);
  }
  const terminal = openTerminal({ quiet: flags.quiet ?? false });
  const watcher = watchRun(terminal);
  const started = performance.now();
  const { remove = '', uid, dryRun } = flags;
  const options = { folder, uids: remove, uid, dryRun, signal, onEvent: watcher.onEvent };
  const report = await removeFromShards(options).finally(() => watcher.close());
  const seconds = (performance.now() - started) / 1000;
  if (flags.json) terminal.out(`${JSON.stringify(removeSummary(report, seconds))}\n`);
  else terminal.out(`${removeLines(report, dryRun).join('\n')}\n`);
  const failed = report.shards.some(({ error }) => error !== undefined);
  return failed && !flags.allowFailed ? EXIT.failed : EXIT.done;
}

function percentage(text: string): number {
  const n = positiveInteger(text);
  if (n > 100) throw new InvalidArgumentError('It must be from 1 to 100.');
  return n;
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
