import { Command } from 'commander';
import { EXIT } from '../exit.ts';
import { setupCuda } from '../jobs/setup-cuda.ts';
import { SHARED } from '../options.ts';
import { bytes } from '../ui/format.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';
import { watchRun } from './watch.ts';

interface Flags extends CommonFlags {
  mirror?: string;
  from?: string;
  sha512?: string;
  dryRun?: boolean;
  force?: boolean;
}

export function setupCommand(context: Context): Command {
  return new Command('setup')
    .description('Install what npm does not carry.')
    .addCommand(cudaCommand(context))
    .addHelpText('after', '\nExample:\n  shardsieve setup cuda --dry-run');
}

function cudaCommand({ signal, done }: Context): Command {
  return new Command('cuda')
    .description(
      "Fetch onnxruntime-node's CUDA and TensorRT libraries (Linux x64), check them, put them in place.",
    )
    .option(
      '--mirror <index>',
      "index.json of a NuGet V3 feed (default: nuget.org's, as onnxruntime-node has it)",
    )
    .option('--from <file>', 'the .nupkg, fetched elsewhere')
    .option('--sha512 <hash>', 'what the package has to be, in hex or base64 (default: as the feed says)')
    .option('--dry-run', 'say what would be fetched, and write nothing')
    .option('--force', 'again, although they are there')
    .addOption(SHARED.quiet())
    .addOption(SHARED.json())
    .addHelpText(
      'after',
      `
Examples:
  shardsieve setup cuda
  shardsieve setup cuda --dry-run
  shardsieve setup cuda --from Microsoft.ML.OnnxRuntime.Gpu.Linux.nupkg

CUDA 12, cuDNN 9 and the driver are NVIDIA's and are not installed; what is missing of them is named.`,
    )
    .action(async (flags: Flags) => {
      const { quiet, json, ...options } = flags;
      const terminal = openTerminal({ quiet: quiet ?? false });
      const { onDownload } = watchRun(terminal);
      const totals = await setupCuda({
        ...options,
        signal,
        onProgress: onDownload,
        onNote: (note) => terminal.err(`${note}\n`),
      });
      if (json) terminal.out(`${JSON.stringify(totals)}\n`);
      else {
        const { state, version, folder, files, url, sha512, missing } = totals;
        const what = `${totals.package} ${version}`;
        if (url !== undefined) terminal.out(`${state === 'dry_run' ? 'would fetch' : 'fetched'} ${url}\n`);
        if (sha512 !== undefined) terminal.out(`SHA-512 ${sha512}\n`);
        const did = { installed: 'put', there: 'already there: of', dry_run: 'would put' }[state];
        terminal.out(`${did} ${what}, in ${folder}:\n`);
        for (const { name, size } of files) {
          terminal.out(`  ${name}${size === undefined ? '' : `, ${bytes(size)}`}\n`);
        }
        if (missing.length > 0) {
          terminal.out(`still missing, of CUDA 12 and cuDNN 9: ${missing.join(', ')} (shardsieve doctor)\n`);
        }
      }
      done(EXIT.done);
    });
}
