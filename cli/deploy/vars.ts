/** Variables of the Workers, as `deploy workers --var` takes them. */
import { UsageError } from '../../src/errors.ts';
import type { WorkerName } from './bundles.ts';

export type WorkerVars = Readonly<Record<WorkerName, Readonly<Record<string, string>>>>;

const VAR = /^(?:(image|text|front):)?([A-Z][A-Z0-9_]*)=(.*)$/s;
const SECRETS = new Set(['API_KEYS', 'TOWER_KEY']);

/** `NAME=VALUE` of the front, `image:NAME=VALUE`, `text:NAME=VALUE`. Throws `UsageError` for anything else. */
export function parseVars(given: readonly string[]): WorkerVars {
  const vars: Record<WorkerName, Record<string, string>> = { image: {}, text: {}, front: {} };
  for (const one of given) {
    const [, worker = 'front', name, value] = VAR.exec(one) ?? [];
    if (name === undefined) {
      // Not the whole of it, in case somebody meant a secret.
      throw new UsageError(`--var ${JSON.stringify(one.split('=')[0])} is no variable of a Worker`, {
        hint: 'Write NAME=VALUE for the front, image:NAME=VALUE or text:NAME=VALUE for a tower',
      });
    }
    if (SECRETS.has(name)) {
      throw new UsageError(`${name} is a secret, and variables can be read`, {
        hint: `After deploying: wrangler secret put ${name} --name WORKER`,
      });
    }
    if (name === 'MODEL') throw new UsageError('MODEL is set by deploying, to the towers that are deployed');
    if (name === 'WASM_MIB' && !/^[1-9]\d{0,3}$/.test(value)) {
      throw new UsageError(`WASM_MIB is ${JSON.stringify(value)}, no whole number of MiB`);
    }
    vars[worker as WorkerName][name] = value;
  }
  return vars;
}
