import { Command } from 'commander';
import type { Recipe } from '../../src/run/recipe.ts';
import { parseFilters } from '../../src/select/parse.ts';
import { EXIT } from '../exit.ts';
import { type FilterTotals, filterPaths, filterShards } from '../jobs/filter.ts';
import type { RunPlan } from '../jobs/plan.ts';
import type { FilterChoice } from '../jobs/select.ts';
import { DEFAULT_ALIAS } from '../models/aliases.ts';
import { SHARED } from '../options.ts';
import { printRecipe } from '../recipes/file.ts';
import { duration } from '../ui/format.ts';
import { planLines, planSummary, savedLines } from '../ui/plan.ts';
import { refineLines } from '../ui/refine-report.ts';
import { filterSummary, scoreLines, scoreSummary, selectLines } from '../ui/report.ts';
import { reshardLines } from '../ui/reshard-report.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { Context } from './context.ts';
import { type ReshardFlags, reshardFailed } from './reshard.ts';
import { addScoreOptions, type ScoreFlags, scoreOptionsOf } from './score.ts';
import { addSelectOptions, type SelectFlags, selectionOf } from './select-flags.ts';
import { watchRun } from './watch.ts';

type FilterFlags = ScoreFlags &
  Pick<ReshardFlags, 'names' | 'shardSize' | 'shardBytes' | 'shardFormat' | 'allowFailed'> & {
    out: string;
    printRecipe?: boolean;
    fullMetadata?: boolean;
    explain?: boolean;
  } & SelectFlags;

export function filterCommand({ signal, done }: Context): Command {
  const command = new Command('filter')
    .description('Score, select and reshard in one run.')
    .argument('<shards...>', 'files, folders, globs, ranges {00000..00012}, or @list.txt')
    .requiredOption('-o, --out <dir>', 'folder for metadata/, subset.npy and shards/')
    .option('--print-recipe', 'write nothing; print the recipe of this command');
  addSelectOptions(command);
  addScoreOptions(command);
  for (const option of [
    SHARED.fullMetadata(),
    SHARED.explain(),
    SHARED.allowFailed(),
    SHARED.names(),
    SHARED.shardSize(),
    SHARED.shardBytes(),
    SHARED.shardFormat(),
    SHARED.quiet(),
    SHARED.json(),
  ]) {
    command.addOption(option);
  }
  return command
    .addHelpText(
      'after',
      `
Examples:
  shardsieve filter pool/ --fraction 0.3 --out filtered
  shardsieve filter 'pool/{00000..00127}.tar' --model openai-l14 --threshold 0.28 --out filtered
  shardsieve filter pool/ --precision int8 --refine --fraction 0.3 --out filtered      fp32's subset, sooner
  shardsieve filter pool/ --limit 2000 --fraction 0.3 --out pilot       a pilot, with the time of the whole

Score once, select many times: filtered/metadata is what \`shardsieve select\` reads. What filters of captions, languages
or sizes drop is not decoded and has no row there; --full-metadata scores all of it, for other subsets.`,
    )
    .action(async (shards: string[], flags: FilterFlags) => {
      const choice = await selectionOf(flags);
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      if (flags.printRecipe) {
        terminal.out(printRecipe(recipeOf(shards, flags, choice)));
        return done(EXIT.done);
      }
      const watcher = watchRun(terminal);
      const started = performance.now();
      const elapsed = (): number => (performance.now() - started) / 1000;
      const { out, allowFailed, allowTruncated, maxFailed, fullMetadata, explain } = flags;
      const { names, shardSize, shardBytes, shardFormat } = flags;
      let scored: FilterTotals['score'] | undefined;
      let plan: RunPlan | undefined;
      try {
        const totals = await filterShards({
          ...scoreOptionsOf(flags),
          ...choice,
          ...(flags.refine ? { refine: choice.filters } : {}),
          ...{ shards, out, allowFailed, allowTruncated, fullMetadata },
          onPlan: (made) => {
            plan = made;
            if (explain && !flags.json) terminal.out(`${planLines(made).join('\n')}\n`);
          },
          ...{ names, shardSize, shardBytes, shardFormat, signal },
          onEvent: watcher.onEvent,
          onDownload: watcher.onDownload,
          onScored: (totals) => {
            scored = totals;
          },
        }).finally(() => watcher.close());
        if (flags.json) {
          const explained = explain && plan ? { plan: planSummary(plan) } : {};
          terminal.out(`${JSON.stringify({ ...filterSummary(totals, elapsed()), ...explained })}\n`);
        } else {
          const lines = [
            ...scoreLines(totals.score, elapsed(), flags),
            ...(explain ? savedLines(totals.score) : []),
            ...(totals.refine ?? []).flatMap(refineLines),
            ...selectLines(totals.select),
            ...reshardLines(totals.reshard),
            `written in ${duration(elapsed())}:`,
            ...Object.values(totals.paths).map((path) => `  ${path}`),
          ];
          terminal.out(`${lines.join('\n')}\n`);
        }
        // That scoring was allowed to go on covers the same shards when they are read again.
        const goesOn = allowFailed || maxFailed !== undefined;
        const allowed = { allowFailed, allowTruncated: allowTruncated || goesOn };
        done(reshardFailed(totals.reshard, allowed) ? EXIT.failed : EXIT.done);
      } catch (error) {
        // The metadata is there: its numbers are told before the failure is.
        if (scored !== undefined) {
          if (flags.json) terminal.out(`${JSON.stringify(scoreSummary(scored, elapsed()))}\n`);
          else {
            const { metadata } = filterPaths(out);
            terminal.out(
              `${scoreLines(scored, elapsed(), flags).join('\n')}\nmetadata written to ${metadata}\n`,
            );
          }
        }
        throw error;
      }
    });
}

/** What `shardsieve run` does the same by. */
function recipeOf(
  shards: string[],
  flags: FilterFlags,
  { filters, join, strict, multiset, lid }: FilterChoice,
): Recipe {
  const paths = filterPaths(flags.out);
  const { model, slug, caption, uid, carry, embeddings, safety, fit, limit, sample, verifyInput } = flags;
  const { fastDecode, precision, device, calibrate, refine, names, shardSize, shardBytes, shardFormat } =
    flags;
  return {
    shards,
    models: (model ?? [DEFAULT_ALIAS]).map((name, i) => (slug?.[i] ? { model: name, slug: slug[i] } : name)),
    score: {
      caption,
      uid,
      carry,
      embeddings,
      safety,
      fit,
      fast_decode: fastDecode,
      limit,
      sample,
      verify_input: verifyInput,
      full_metadata: flags.fullMetadata,
      precision,
      device,
      batch: flags.batch,
      calibrate,
      refine,
    },
    metadata: paths.metadata,
    annotate: lid === undefined ? undefined : { lid },
    join: join === undefined ? undefined : [...join],
    filters: parseFilters(filters ?? []),
    strict,
    repeats: multiset ? 'keep' : 'drop',
    subset: paths.subset,
    reshard: {
      out: paths.shards,
      names,
      shard_size: shardSize,
      shard_bytes: shardBytes,
      shard_format: shardFormat,
    },
  };
}
