import { Command } from 'commander';
import { EXIT } from '../exit.ts';
import { type DoctorReport, examine } from '../jobs/doctor.ts';
import { SHARED } from '../options.ts';
import { bytes } from '../ui/format.ts';
import { openTerminal } from '../ui/terminal.ts';
import type { CommonFlags, Context } from './context.ts';

export function doctorCommand({ done }: Context): Command {
  return new Command('doctor')
    .description('What this machine has, and what a run would use of it. Makes no request.')
    .addOption(SHARED.json())
    .addHelpText('after', '\nExample:\n  shardsieve doctor --json')
    .action(async (flags: CommonFlags) => {
      const terminal = openTerminal({ quiet: false });
      const report = await examine();
      terminal.out(flags.json ? `${JSON.stringify(report)}\n` : `${doctorLines(report).join('\n')}\n`);
      done(EXIT.done);
    });
}

function doctorLines(report: DoctorReport): string[] {
  const { processor, memory, libraries, providers, devices, graphics, cuda, hub, quantised, models, uses } =
    report;
  const line = (name: string, text: string): string => `${name.padEnd(14)}${text}`;
  const free = (room: number | undefined): string => (room === undefined ? '' : `, ${bytes(room)} free`);
  const lines = [
    line('shardsieve', `${report.shardsieve}, Node ${report.node}, ${report.system}`),
    line('processor', `${processor.model}; ${processor.usable} of ${processor.threads} threads usable`),
    ...(processor.features
      ? [line('', processor.features.join(' ') || 'none of the features that matter')]
      : []),
    line('memory', `${bytes(memory.total)}, ${bytes(memory.available)} available`),
    line(
      'libraries',
      `onnxruntime ${libraries.onnxruntime}, sharp ${libraries.sharp} with libvips ${libraries.libvips}`,
    ),
    line(
      'providers',
      providers.map(({ name, bundled }) => (bundled ? name : `${name} (libraries apart)`)).join(', '),
    ),
    ...devices.map(({ device, ready, reason }) =>
      line(`  ${device}`, ready ? 'ready' : (reason ?? 'cannot be used')),
    ),
    ...graphics.nvidia.map((gpu) => line('gpu', gpu)),
    ...graphics.drm.map((card) => line('gpu', card)),
    line('vulkan', graphics.vulkan.join(', ') || 'no driver file found'),
  ];
  if (cuda !== undefined) {
    const there = cuda.files.flatMap(({ name, size }) =>
      size === undefined ? [] : [`${name} ${bytes(size)}`],
    );
    lines.push(line('cuda', there.length === 0 ? 'not set up (shardsieve setup cuda)' : there.join(', ')));
    if (cuda.missing.length > 0) lines.push(line('', `the system lacks ${cuda.missing.join(', ')}`));
  }
  return [
    ...lines,
    line('hub', `${hub.cache}${free(hub.free)}`),
    line(
      '',
      `${hub.offline ? 'offline: no request is made' : hub.endpoint}; ${hub.has_token ? 'with a token' : 'no token'}`,
    ),
    line('quantised', `${quantised.folder}${free(quantised.free)}`),
    line('models here', models.join(', ') || 'none'),
    '',
    line(
      'a run uses',
      `${uses.device} with ${uses.threads} threads, ${uses.model}${uses.model_is_here ? '' : ', which is downloaded first'}`,
    ),
    line(
      '',
      uses.int8 === undefined
        ? 'int8 would be wrong here, and is refused'
        : `--precision int8 by ${uses.int8}`,
    ),
  ];
}
