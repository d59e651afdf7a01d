import { Command, CommanderError } from 'commander';
import { CancelledError, isShardsieveError, messageOf } from '../src/errors.ts';
import { VERSION } from '../src/version.ts';
import type { Context } from './commands/context.ts';
import { EXIT, exitCodeOf } from './exit.ts';
import { stopSignal } from './signals.ts';
import { openTerminal } from './ui/terminal.ts';

const EXIT_CODES = `
Exit codes:
  0  done
  1  something failed, and is named
  2  wrong usage
  3  the accounting does not add up, or nothing at all was scored
  130, 143  stopped by Ctrl-C or SIGTERM; what was committed stays`;

/** Loaded when asked for: half a second of libraries that another command needs is not this one's. */
const COMMANDS: { [name: string]: () => Promise<(context: Context) => Command> } = {
  filter: async () => (await import('./commands/filter.ts')).filterCommand,
  score: async () => (await import('./commands/score.ts')).scoreCommand,
  annotate: async () => (await import('./commands/annotate.ts')).annotateCommand,
  select: async () => (await import('./commands/select.ts')).selectCommand,
  embed: async () => (await import('./commands/embed.ts')).embedCommand,
  centroids: async () => (await import('./commands/centroids.ts')).centroidsCommand,
  reshard: async () => (await import('./commands/reshard.ts')).reshardCommand,
  subset: async () => (await import('./commands/subset.ts')).subsetCommand,
  merge: async () => (await import('./commands/merge.ts')).mergeCommand,
  compare: async () => (await import('./commands/compare.ts')).compareCommand,
  verify: async () => (await import('./commands/verify.ts')).verifyCommand,
  models: async () => (await import('./commands/models.ts')).modelsCommand,
  keys: async () => (await import('./commands/keys.ts')).keysCommand,
  run: async () => (await import('./commands/run.ts')).runCommand,
  deploy: async () => (await import('./commands/deploy.ts')).deployCommand,
  heads: async () => (await import('./commands/heads.ts')).headsCommand,
  safety: async () => (await import('./commands/safety.ts')).safetyCommand,
  serve: async () => (await import('./commands/serve.ts')).serveCommand,
  setup: async () => (await import('./commands/setup.ts')).setupCommand,
  doctor: async () => (await import('./commands/doctor.ts')).doctorCommand,
  demo: async () => (await import('./commands/demo.ts')).demoCommand,
};

/** The command that is asked for; the whole of them for help, and where it is none. Actions hand `done` the exit code. */
export async function createProgram(
  signal: AbortSignal,
  done: (code: number) => void,
  asked?: string,
): Promise<Command> {
  const program = new Command('shardsieve')
    .description('Turn image-caption shards into the subset worth training on.')
    .version(VERSION, '-V, --version')
    .addHelpText('after', EXIT_CODES)
    .showHelpAfterError('(add --help for the options and examples)');
  const names = asked !== undefined && Object.hasOwn(COMMANDS, asked) ? [asked] : Object.keys(COMMANDS);
  for (const name of names) program.addCommand((await COMMANDS[name]())({ signal, done }));
  return program;
}

/** Runs the command line and resolves with the exit code. Only `start` ends the process. */
export async function run(argv: readonly string[], signal: AbortSignal): Promise<number> {
  let code: number = EXIT.done;
  const done = (result: number) => {
    code = result;
  };
  const program = await createProgram(signal, done, argv[0]);
  overrideExit(program);
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    const terminal = openTerminal({ quiet: false });
    if (error instanceof CancelledError || signal.aborted) {
      terminal.err('stopped; what was committed stays, run the same command again to go on\n');
      return exitCodeOf(error);
    }
    terminal.err(`${terminal.red('error:')} ${isShardsieveError(error) ? error.message : internal(error)}\n`);
    return exitCodeOf(error);
  }
}

/** The process's entry: parses `process.argv`, listens for signals, ends with the code. */
export async function start(): Promise<void> {
  const stop = stopSignal();
  // A reader that went away (`| head`) is no error of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const code = await run(process.argv.slice(2), stop.signal);
  process.exitCode = stop.code() ?? code;
  stop.close();
}

function overrideExit(command: Command): void {
  command.exitOverride();
  for (const sub of command.commands) overrideExit(sub);
}

function internal(error: unknown): string {
  return `internal error, please report it: ${messageOf(error)}${process.env['SHARDSIEVE_DEBUG'] && error instanceof Error ? `\n${error.stack}` : ''}`;
}

if (import.meta.main) await start();
