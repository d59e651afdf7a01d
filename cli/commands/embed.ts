import { Command, Option } from 'commander';
import { EXIT } from '../exit.ts';
import { embedShards } from '../jobs/embed.ts';
import { positiveInteger, SHARED } from '../options.ts';
import { count, duration, plural, rate } from '../ui/format.ts';
import { StepProgress } from '../ui/step-progress.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

interface Flags extends CommonFlags {
  model?: string;
  name?: string;
  fit: 'open_clip' | 'visual';
  threads?: number;
  device?: string[];
  out: string;
}

export function embedCommand({ signal, done }: Context): Command {
  return new Command('embed')
    .description('Embed the pictures of shards, captions or not: a target set for image_based and normsim.')
    .argument('<shards...>', 'files, folders, globs, brace ranges, @list.txt, or - for a tar on stdin')
    .requiredOption('-o, --out <targets.npy>', 'the file to write: float16 unit embeddings, a row a picture')
    .addOption(
      new Option(
        '-m, --model <model>',
        'as for score; it has to be the one that made the pool’s embeddings (default: datacomp-b32-256)',
      ),
    )
    .addOption(SHARED.name())
    .addOption(SHARED.fit())
    .addOption(
      new Option('--threads <n>', 'threads of the tower (default: all cores)').argParser(positiveInteger),
    )
    .addOption(SHARED.device())
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve embed imagenet/train --model openai-l14 --out in1k.npy
  shardsieve select metadata --filter '{normsim: {slug: l14, targets: in1k.npy, fraction: 0.2}}' --out subset.npy`,
    )
    .action(async (shards: string[], flags: Flags) => {
      const { quiet, json, ...options } = flags;
      const terminal = openTerminal({ quiet: quiet ?? false });
      const progress = new StepProgress(terminal);
      const started = performance.now();
      const { onProgress } = progress;
      const onNote = (text: string) => terminal.err(`${text}\n`);
      const totals = await embedShards({ ...options, shards, signal, onProgress, onNote }).finally(() =>
        progress.close(),
      );
      const seconds = (performance.now() - started) / 1000;
      if (json)
        terminal.out(`${JSON.stringify({ ...totals, seconds: Math.round(seconds * 1000) / 1000 })}\n`);
      else {
        const { rows, model, slug, skipped, out } = totals;
        terminal.out(`${plural(rows, 'picture')} embedded by ${model} (${slug}); ${duration(seconds)}\n`);
        for (const [reason, n] of Object.entries(skipped))
          terminal.out(`  skipped, ${reason}: ${count(n)}\n`);
        for (const { precision, device, pictures_per_second: speed } of totals.towers)
          terminal.out(`${precision} on ${device}; warm, ${rate(speed)} pictures/s\n`);
        terminal.out(`written to ${out}\n`);
      }
      done(EXIT.done);
    });
}
