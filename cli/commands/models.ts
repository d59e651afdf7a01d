import { Command, Option } from 'commander';
import { parseClipConfig } from '../../src/clip/config.ts';
import { exportedFiles } from '../../src/clip/export/manifest.ts';
import { DownloadError, ModelError } from '../../src/errors.ts';
import { EXIT } from '../exit.ts';
import { exportModel } from '../jobs/export-model.ts';
import { wantModels } from '../jobs/models.ts';
import { selfTest } from '../jobs/self-test.ts';
import { listModels } from '../models/list.ts';
import { pullModel, resolveModel } from '../models/resolve.ts';
import { repeated, SHARED } from '../options.ts';
import { bytes, duration } from '../ui/format.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';
import { watchRun } from './watch.ts';

export function modelsCommand(context: Context): Command {
  return new Command('models')
    .description('List, describe, download and export models.')
    .addCommand(listCommand(context))
    .addCommand(infoCommand(context))
    .addCommand(pullCommand(context))
    .addCommand(exportCommand(context))
    .addHelpText(
      'after',
      `
Examples:
  shardsieve models list
  shardsieve models info demo
  shardsieve models pull datacomp-b32-256
  shardsieve models pull hf-hub:laion/CLIP-ViT-H-14-laion2B-s32B-b79K@main

HF_HOME, HF_ENDPOINT, HF_TOKEN and HF_HUB_OFFLINE mean what they mean to Python's huggingface_hub.`,
    );
}

function listCommand({ done }: Context): Command {
  return new Command('list')
    .description('Models with a short name, and whether they are on this machine. Makes no request.')
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve models list --json')
    .action(async (flags: CommonFlags) => {
      const terminal = openTerminal({ quiet: false });
      const rows = await listModels();
      if (flags.json) terminal.out(`${JSON.stringify(rows)}\n`);
      else {
        const width = (of: (row: (typeof rows)[number]) => string): number =>
          Math.max(...rows.map((row) => of(row).length));
        const alias = width((row) => row.alias);
        const slug = width((row) => row.slug);
        for (const row of rows) {
          const here = row.cached ? `here, ${bytes(row.bytes ?? 0)}` : 'not pulled';
          terminal.out(
            `${row.alias.padEnd(alias)}  ${row.slug.padEnd(slug)}  ${here.padEnd(16)}  ${row.note}\n`,
          );
        }
      }
      done(EXIT.done);
    });
}

function infoCommand({ signal, done }: Context): Command {
  return new Command('info')
    .description('What a model on this machine is: architecture, preprocess, hashes.')
    .argument('<model>', 'alias, hf-hub:org/name[@revision], local-dir:PATH or demo')
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve models info demo')
    .action(async (model: string, flags: CommonFlags) => {
      const terminal = openTerminal({ quiet: false });
      // Looking at a model does not download it.
      const offline = { env: { ...process.env, HF_HUB_OFFLINE: '1' }, signal };
      const resolved = await resolveModel(model, offline).catch((error: unknown) => {
        if (!(error instanceof DownloadError)) throw error;
        throw new ModelError(`${model} is not on this machine`, {
          hint: `Run: shardsieve models pull ${model}`,
          cause: error,
        });
      });
      const [{ slug, entry }] = await wantModels({ models: [model] }, offline);
      const config = parseClipConfig(JSON.stringify(resolved.configJson), resolved.configPath);
      const info = { slug, ...entry, architecture: config, weights: resolved.weightsPath };
      if (flags.json) terminal.out(`${JSON.stringify(info)}\n`);
      else {
        for (const [name, value] of Object.entries(info)) {
          terminal.out(`${name.padEnd(24)}${typeof value === 'string' ? value : JSON.stringify(value)}\n`);
        }
      }
      done(EXIT.done);
    });
}

function pullCommand({ signal, done }: Context): Command {
  return new Command('pull')
    .description('Download a model into the hub’s cache, shared with Python, and test it.')
    .argument('<model>', 'alias, hf-hub:org/name[@revision], local-dir:PATH or demo')
    .addOption(SHARED.device())
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve models pull datacomp-b32-256')
    .action(async (spec: string, flags: CommonFlags & { device?: string[] }) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const { onDownload } = watchRun(terminal);
      const started = performance.now();
      const pulled = await pullModel(spec, {
        signal,
        onProgress: onDownload,
        onNote: (note) => terminal.err(`${note}\n`),
      });
      const [wanted] = await wantModels({ models: [spec], device: flags.device }, { signal });
      const test = await selfTest(wanted);
      const { name, revision, weightsPath } = pulled.model;
      if (flags.json) {
        const { slug, entry } = wanted;
        terminal.out(
          `${JSON.stringify({ slug, ...entry, downloaded: pulled.downloaded, weights: weightsPath, self_test: test })}\n`,
        );
      } else {
        const how = pulled.downloaded
          ? `downloaded in ${duration((performance.now() - started) / 1000)}`
          : 'already here';
        terminal.out(
          `${name}${revision === undefined ? '' : ` at ${revision}`}: ${bytes(pulled.weightsBytes)}, ${how}\n`,
        );
        terminal.out(`${weightsPath}\n\nself-test, cosines of two built-in pictures with their captions:\n`);
        for (const [i, row] of test.cosines.entries()) {
          terminal.out(
            `  ${row.map((value) => value.toFixed(4).padStart(8)).join('')}   ${test.captions[i]}\n`,
          );
        }
        terminal.out(
          test.ok
            ? 'each picture is nearest to its own caption\n'
            : `${terminal.red('a picture is nearer to the other caption')}: a trained CLIP would tell these apart\n`,
        );
      }
      done(test.ok ? EXIT.done : EXIT.failed);
    });
}

function exportCommand({ signal, done }: Context): Command {
  return new Command('export')
    .description('Write a model’s towers as files that Cloudflare Workers load (docs/edge.md).')
    .argument('<model>', 'alias, hf-hub:org/name[@revision], local-dir:PATH or demo')
    .addOption(
      new Option('--target <platform>', 'what the files are for').choices(['workers']).makeOptionMandatory(),
    )
    .requiredOption('--out <dir>', 'folder for image.ort, text.ort, table.f16 and manifest.json')
    .addOption(
      new Option('--precision <precision>', 'what the towers compute in')
        .choices(['int8', 'int8-accurate'])
        .default('int8-accurate'),
    )
    .option('--slug <slug>', 'name of the model in columns')
    .option('--calibrate <shard>', 'a shard whose first 64 pairs fix the scales; default: built-in pairs')
    .addOption(
      new Option(
        '--head <head>',
        'a head over embeddings to serve, with commas or repeated: concepts, concepts:FILE, head:FILE, or a published one',
      ).argParser(repeated),
    )
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      '\nExample:\n  shardsieve models export datacomp-b32-256 --target workers --head concepts --out towers',
    )
    .action(async (model: string, flags: CommonFlags & ExportFlags) => {
      const terminal = openTerminal({ quiet: flags.quiet ?? false });
      const { onDownload } = watchRun(terminal);
      const { out, precision, slug, calibrate, head: heads } = flags;
      const { manifest, reused } = await exportModel(
        { model, out, precision, slug, calibrate, heads },
        { signal, onProgress: onDownload, onNote: (note) => terminal.err(`${note}\n`) },
      );
      if (flags.json) terminal.out(`${JSON.stringify({ ...manifest, reused })}\n`);
      else {
        const sizes = exportedFiles(manifest).map((file) => `${file.name} ${bytes(file.bytes)}`);
        terminal.out(`${manifest.name} in ${manifest.precision}: ${sizes.join(', ')} in ${out}`);
        terminal.out(reused ? ' (as they were)\n' : '\n');
      }
      done(EXIT.done);
    });
}

interface ExportFlags {
  out: string;
  precision: 'int8' | 'int8-accurate';
  slug?: string;
  calibrate?: string;
  head?: string[];
}
