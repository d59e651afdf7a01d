import { Command } from 'commander';
import { UsageError } from '../../src/errors.ts';
import { KNOWN_HEADS } from '../../src/safety/heads/known.ts';
import { EXIT } from '../exit.ts';
import { importHead, pullHead } from '../heads/import.ts';
import { findKnown, openHead, otherHeads, pulledPath, saveHead } from '../heads/store.ts';
import { SHARED } from '../options.ts';
import { showHead } from '../ui/head-report.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';
import { trainCommand } from './heads-train.ts';
import { watchRun } from './watch.ts';

export function headsCommand(context: Context): Command {
  return new Command('heads')
    .description('Safety heads over CLIP embeddings: list, describe, download, import and train them.')
    .addCommand(listCommand(context))
    .addCommand(infoCommand(context))
    .addCommand(pullCommand(context))
    .addCommand(importCommand(context))
    .addCommand(trainCommand(context))
    .addHelpText(
      'after',
      `
Examples:
  shardsieve heads list
  shardsieve heads pull laion-l14
  shardsieve heads info laion-l14
  shardsieve heads import clip_autokeras_nsfw_b32.zip --out b32.safetensors
  shardsieve heads train --embeddings metadata --labels labels.csv --out weapons.safetensors

Heads that were pulled lie in SHARDSIEVE_HEADS, else in shardsieve/heads of the user's cache.`,
    );
}

function listCommand({ done }: Context): Command {
  return new Command('list')
    .description('Published heads that can be pulled, and those on this machine. Makes no request.')
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve heads list --json')
    .action(async (flags: CommonFlags) => {
      const terminal = openTerminal({ quiet: false });
      const rows: {
        name: string;
        here: boolean;
        space: string;
        columns: string[];
        title: string;
        file: string;
      }[] = [];
      for (const known of KNOWN_HEADS) {
        const opened = await openHead(known.alias).catch((error: unknown) => {
          if (!(error instanceof UsageError)) throw error;
          return undefined;
        });
        const { space, columns, title } = known.info;
        const here = opened !== undefined;
        rows.push({ name: known.alias, here, space: space.name, columns, title, file: pulledPath(known) });
      }
      for (const file of await otherHeads()) {
        const { info } = (await openHead(file)).head;
        rows.push({
          name: info.name,
          here: true,
          space: info.space.name,
          columns: info.columns,
          title: info.title,
          file,
        });
      }
      if (flags.json) terminal.out(`${JSON.stringify(rows)}\n`);
      else {
        const width = Math.max(...rows.map(({ name }) => name.length));
        for (const { name, here, title, columns } of rows) {
          terminal.out(
            `${name.padEnd(width)}  ${(here ? 'here' : 'not pulled').padEnd(10)}  ${title}: ${columns.join(', ')}\n`,
          );
        }
      }
      done(EXIT.done);
    });
}

function infoCommand({ done }: Context): Command {
  return new Command('info')
    .description('What a head on this machine is: its model, layers, training, limits and metrics.')
    .argument('<head>', 'a head’s file, or the name of a pulled one')
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve heads info laion-l14')
    .action(async (spec: string, flags: CommonFlags) => {
      const terminal = openTerminal({ quiet: false });
      const { head, path } = await openHead(spec);
      showHead(terminal, head, path, flags);
      done(EXIT.done);
    });
}

function pullCommand({ signal, done }: Context): Command {
  return new Command('pull')
    .description('Download a published head from its authors, verify its SHA-256 and import it.')
    .argument('<name>', KNOWN_HEADS.map(({ alias }) => alias).join(', '))
    .option('--out <head>', 'write it here instead of into the folder of heads')
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve heads pull laion-b32')
    .action(async (name: string, flags: CommonFlags & { out?: string }) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const known = findKnown(name);
      if (known === undefined) {
        throw new UsageError(`no published head is called ${JSON.stringify(name.slice(0, 200))}`, {
          hint: `Known are ${KNOWN_HEADS.map(({ alias }) => alias).join(', ')}; import others by heads import FILE`,
        });
      }
      const { onDownload } = watchRun(terminal);
      const head = await pullHead(known, {
        signal,
        onProgress: onDownload,
        onNote: (note) => terminal.err(`${note}\n`),
      });
      const out = flags.out ?? pulledPath(known);
      await saveHead(head, out);
      showHead(terminal, head, out, flags);
      done(EXIT.done);
    });
}

function importCommand({ signal, done }: Context): Command {
  return new Command('import')
    .description(
      'Turn a file into a head: a Keras SavedModel zip, a violence .npy, torch layers as safetensors, or concepts (.yaml).',
    )
    .argument('<file>', 'what was downloaded')
    .requiredOption('--out <head>', 'the head to write (.safetensors)')
    .option('--model <model>', 'the model whose embeddings it takes; published heads know theirs')
    .option('--name <name>', 'its name ([a-z0-9_]+), for a head that is not a published one')
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve heads import clip_autokeras_binary_nsfw.zip --out l14.safetensors
  shardsieve heads import datacomp_head.safetensors --model openai-l14 --name datacomp_nsfw --out head.safetensors
  shardsieve heads import concepts.yaml --model datacomp-b32-256 --out concepts.safetensors`,
    )
    .action(async (file: string, flags: CommonFlags & { out: string; model?: string; name?: string }) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const { onDownload } = watchRun(terminal);
      const head = await importHead(file, flags, {
        signal,
        onProgress: onDownload,
        onNote: (note) => terminal.err(`${note}\n`),
      });
      await saveHead(head, flags.out);
      showHead(terminal, head, flags.out, flags);
      done(EXIT.done);
    });
}
