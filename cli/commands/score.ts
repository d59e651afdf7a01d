import { Command } from 'commander';
import type { Batch } from '../../src/clip/batch.ts';
import type { Precision } from '../../src/clip/precision.ts';
import { UsageError } from '../../src/errors.ts';
import type { Part } from '../../src/io/part.ts';
import type { MaxFailed } from '../../src/run/outcome.ts';
import { checkTotals, type ScoreTotals } from '../../src/run/totals.ts';
import type { FilterInput } from '../../src/select/spec.ts';
import { EXIT } from '../exit.ts';
import { type RefineReport, refineScores } from '../jobs/refine.ts';
import { scoreShards } from '../jobs/score.ts';
import { tooManyFailed } from '../jobs/steps.ts';
import { SHARED } from '../options.ts';
import { refineLines, refineSummary } from '../ui/refine-report.ts';
import { scoreLines, scoreSummary } from '../ui/report.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';
import { watchRun } from './watch.ts';

export interface ScoreFlags extends CommonFlags {
  model?: string[];
  slug?: string[];
  name?: string;
  caption: string;
  uid: string;
  carry?: string[];
  embeddings: boolean;
  safety?: string[];
  fit: 'open_clip' | 'visual';
  fastDecode?: boolean;
  limit?: number;
  sample?: number;
  threads?: number;
  batch?: Batch;
  trace?: string;
  precision: Precision;
  device?: string[];
  endpoint?: string;
  calibrate?: string;
  refine?: boolean;
  verifyInput?: boolean;
  allowTruncated?: boolean;
  shardIndex?: Part;
  retryFailed?: boolean;
  maxFailed?: MaxFailed;
}

/** The options that decide what scoring does; `filter` has them too. */
export function addScoreOptions(command: Command): Command {
  for (const option of [
    SHARED.model(),
    SHARED.slug(),
    SHARED.caption(),
    SHARED.uid(),
    SHARED.carry(),
    SHARED.noEmbeddings(),
    SHARED.safety(),
    SHARED.fit(),
    SHARED.fastDecode(),
    SHARED.limit(),
    SHARED.sample(),
    SHARED.threads(),
    SHARED.batch(),
    SHARED.trace(),
    SHARED.device(),
    SHARED.endpoint(),
    SHARED.precision(),
    SHARED.calibrate(),
    SHARED.refine(),
    SHARED.verifyInput(),
    SHARED.allowTruncated(),
    SHARED.shardIndex(),
    SHARED.retryFailed(),
    SHARED.maxFailed(),
  ]) {
    command.addOption(option);
  }
  return command;
}

/** Flags to the library's options, shared with `filter`. */
export function scoreOptionsOf(flags: ScoreFlags) {
  const { model, slug, name, caption, uid, carry, embeddings, fit, limit, sample, threads, verifyInput } =
    flags;
  const {
    fastDecode,
    safety,
    batch,
    trace,
    precision,
    device,
    endpoint,
    calibrate,
    allowTruncated,
    shardIndex,
    retryFailed,
    maxFailed,
  } = flags;
  return {
    models: model,
    slugs: slug,
    name,
    caption,
    uid,
    carry,
    embeddings,
    safety,
    fit,
    fastDecode,
    limit,
    sample,
    threads,
    batch,
    trace,
    verifyInput,
    precision,
    device,
    endpoint,
    calibrate,
    allowTruncated,
    part: shardIndex,
    retryFailed,
    maxFailed,
  };
}

export function scoreCommand({ signal, done }: Context): Command {
  const command = new Command('score')
    .description('Score every pair of the shards; one row a scored sample.')
    .argument('<shards...>', 'files, folders, globs, ranges {00000..00012}, @list.txt, or - for stdin')
    .requiredOption('-o, --out <metadata>', 'folder of the metadata to write or complete')
    .addOption(SHARED.name());
  addScoreOptions(command)
    .addOption(SHARED.threshold())
    .addOption(SHARED.fraction())
    .addOption(SHARED.column())
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve score pool/ --out metadata
  shardsieve score 'pool/{00000..00127}.tar' --model openai-l14 --model openai-b32 --out metadata
  shardsieve score pool/ --safety nsfwjs,concepts --out metadata      safety columns in the same pass
  shardsieve score pool/ --precision int8 --refine --fraction 0.3 --out metadata      scores that select as fp32's would
  shardsieve score pool/ --limit 1000 --out pilot          how long will it take?
  shardsieve score pool/ --shard-index 2/8 --out part-2    the third of eight machines; then shardsieve merge
  curl -sL https://example.org/00000.tar | shardsieve score - --name 00000 --out metadata
  shardsieve score pool/ --endpoint https://gpu.example.org --out metadata     towers of another machine

A second run does only what is missing. Finished shards are recognised before they are opened.`,
    )
    .action(async (shards: string[], flags: ScoreFlags & Bound & { out: string }) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const watcher = watchRun(terminal);
      const started = performance.now();
      const options = {
        ...scoreOptionsOf(flags),
        ...{ shards, out: flags.out, refine: boundOf(flags), signal },
        onEvent: watcher.onEvent,
        onDownload: watcher.onDownload,
      };
      const seconds = (): number => (performance.now() - started) / 1000;
      let totals: ScoreTotals | undefined;
      let refined: RefineReport[] = [];
      try {
        totals = await scoreShards(options);
        const isWhole = totals.scored > 0 && !tooManyFailed(totals, flags);
        if (options.refine !== undefined && isWhole) refined = await refineScores({ score: options });
        else if (options.refine !== undefined)
          watcher.onEvent({ type: 'note', text: 'nothing was refined, as shards failed' });
      } finally {
        watcher.close();
        if (totals !== undefined) report(totals);
      }
      done(tooManyFailed(totals, flags) ? EXIT.failed : EXIT.done);
      checkTotals(totals);

      function report(totals: ScoreTotals): void {
        if (flags.json) {
          const summary = { ...scoreSummary(totals, seconds()), ...refineSummary(refined) };
          terminal.out(`${JSON.stringify(summary)}\n`);
          return;
        }
        const lines = [...scoreLines(totals, seconds(), flags), ...refined.flatMap(refineLines)];
        terminal.out(`${lines.join('\n')}\nwritten to ${flags.out}\n`);
      }
    });
  return command;
}

type Bound = { threshold?: number; fraction?: number; column?: string };

/** What `--refine` is for, as filters. */
function boundOf({ refine, threshold, fraction, column }: ScoreFlags & Bound): FilterInput[] | undefined {
  const isBound = threshold !== undefined || fraction !== undefined;
  if (refine && isBound) return [{ score: { column, threshold, fraction } }];
  if (refine) {
    throw new UsageError('--refine is for the rows near a threshold', {
      hint: 'Add the --threshold or --fraction of the subset',
    });
  }
  if (!isBound && column === undefined) return undefined;
  throw new UsageError('scoring selects nothing: --threshold, --fraction and --column are of --refine', {
    hint: 'Add --refine, or select afterwards with shardsieve select',
  });
}
