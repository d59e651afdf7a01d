import { Command, InvalidArgumentError, Option } from 'commander';
import type { Part } from '../../src/io/part.ts';
import type { DetectorName } from '../../src/language/types.ts';
import { EXIT } from '../exit.ts';
import { type AnnotateTotals, annotate, asRunEvents } from '../jobs/annotate.ts';
import { positiveInteger, SHARED } from '../options.ts';
import { count, duration, plural, rate } from '../ui/format.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';
import { watchRun } from './watch.ts';

interface AnnotateFlags extends CommonFlags {
  lang?: DetectorName[];
  safety?: string[];
  shards?: string[];
  model?: string;
  lid: string;
  out?: string;
  threads?: number;
  shardIndex?: Part;
}

export function annotateCommand({ signal, done }: Context): Command {
  return new Command('annotate')
    .description('Add columns to metadata once, so that selecting reads them: languages, safety.')
    .argument('<metadata>', 'folder of metadata; one that Shardsieve did not write needs --out')
    .addOption(
      new Option('--lang <detectors>', 'fasttext, cld3 or both, with a comma between').argParser(detectors),
    )
    .addOption(SHARED.safety())
    .addOption(
      new Option(
        '--shards <shards...>',
        'the tars, for nsfwjs and hashes: files, folders, globs, ranges, @list.txt',
      ),
    )
    .addOption(
      new Option(
        '-m, --model <model>',
        'the model of the embeddings, for concepts (default: as run.json names it)',
      ),
    )
    .addOption(SHARED.lid())
    .addOption(new Option('-o, --out <dir>', 'write a copy of the folder with the columns added'))
    .addOption(
      new Option('--threads <n>', 'threads a detector (default: all cores, at most 8)').argParser(
        positiveInteger,
      ),
    )
    .addOption(SHARED.shardIndex())
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve annotate metadata --lang fasttext
  shardsieve annotate datacomp/metadata --lang fasttext,cld3 --lid full --out annotated
  shardsieve annotate metadata --safety laion-l14                  from the npz, no shard is read
  shardsieve annotate metadata --safety nsfwjs,hashes --shards pool/

A second run does only what is missing. Columns: lang_fasttext, lang_fasttext_prob, lang_cld3; of --safety, see
docs/safety.md; punsafe and nsfw_tag are what all classifiers say together.`,
    )
    .action(async (metadata: string, flags: AnnotateFlags) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const watcher = watchRun(terminal);
      const started = performance.now();
      const totals = await annotate({
        metadata,
        lang: flags.lang,
        safety: flags.safety,
        shards: flags.shards,
        model: flags.model,
        lid: flags.lid,
        out: flags.out,
        threads: flags.threads,
        part: flags.shardIndex,
        onEvent: (event) => asRunEvents(event).forEach(watcher.onEvent),
        onDownload: watcher.onDownload,
        signal,
      }).finally(() => watcher.close());
      const seconds = (performance.now() - started) / 1000;
      if (flags.json) terminal.out(`${JSON.stringify(annotateSummary(totals, seconds))}\n`);
      else
        terminal.out(`${annotateLines(totals, seconds).join('\n')}\nwritten to ${flags.out ?? metadata}\n`);
      done(EXIT.done);
    });
}

function detectors(text: string): DetectorName[] {
  return text.split(',').map((name) => {
    if (name === 'fasttext' || name === 'cld3') return name;
    throw new InvalidArgumentError(`There is fasttext and cld3, not ${JSON.stringify(name)}.`);
  });
}

export function annotateSummary({ rows, groups, shards }: AnnotateTotals, seconds: number) {
  return {
    rows,
    groups,
    shards: { done: shards.done.length, reused: shards.reused.length },
    seconds: Math.round(seconds * 100) / 100,
  };
}

export function annotateLines({ rows, groups, shards }: AnnotateTotals, seconds: number): string[] {
  const reused = shards.reused.length > 0 ? `, ${count(shards.reused.length)} of them already done` : '';
  return [
    `${plural(rows, 'row')} in ${plural(shards.done.length + shards.reused.length, 'shard')}${reused}, in ${duration(seconds)} (${rate(rows / seconds)}/s)`,
    ...groups.map(({ group, columns, unjudged }) => {
      const nulls = unjudged > 0 ? `; ${plural(unjudged, 'row')} without ${missingIn(group)}` : '';
      return `${group}: ${columns.join(', ')}${nulls}`;
    }),
  ];
}

/** Why a group has nulls. */
function missingIn(group: string): string {
  if (group === 'safety:punsafe') return 'one of the probabilities';
  return ['safety:nsfwjs', 'safety:hashes'].includes(group) ? 'a picture in the shards' : 'a caption';
}
