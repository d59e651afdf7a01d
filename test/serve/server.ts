import { type CliResult, startCli } from '../helpers/cli.ts';

export interface CliServer {
  url: string;
  /** Sends the signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<CliResult>;
}

/** `shardsieve serve` on a free port, once it says that it listens. */
export async function startServer(args: readonly string[]): Promise<CliServer> {
  const { child, done } = startCli(['serve', '--port', '0', ...args]);
  let said = '';
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', (text: string) => {
      said += text;
      const found = /listening on (\S+)/.exec(said);
      if (found !== null) resolve(found[1]);
    });
    done.then(({ stderr }) => reject(new Error(`the server ended: ${stderr}`)), reject);
  });
  return {
    url,
    async stop(signal = 'SIGTERM') {
      child.kill(signal);
      return done;
    },
  };
}
