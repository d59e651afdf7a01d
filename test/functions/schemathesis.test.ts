/**
 * Requests that nobody thought of: Schemathesis makes them from the OpenAPI document. Skipped where `SHARDSIEVE_PYTHON`
 * names no interpreter that has it (tools/oracle/requirements-light.txt).
 */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { keyStore, newKey } from '../../functions/app/keys.ts';
import { PYTHON } from '../helpers/python.ts';
import { startApp } from './serve.ts';

const run = promisify(execFile);

function isThere(): boolean {
  if (PYTHON === undefined) return false;
  try {
    execFileSync(PYTHON, ['-c', 'import schemathesis'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test.skipIf(!isThere())(
  'no answer that the document does not have, and no fault',
  { timeout: 300_000 },
  async () => {
    const { key, record } = newKey('schemathesis', '');
    const running = await startApp({ keys: keyStore(() => [record]) });
    try {
      const script = 'tools/oracle/schemathesis_api.py';
      const { stdout } = await run(String(PYTHON), [script, running.url, key], {
        maxBuffer: 2 ** 26,
      }).catch((failure: { stdout?: string }) => {
        throw new Error(`Schemathesis found:\n${String(failure.stdout).slice(0, 20_000)}`);
      });
      expect(stdout).toMatch(/\d{3,} generated, \d+ passed/);
      const { logged } = running;
      expect(logged.length).toBeGreaterThan(300);
      expect(logged.filter(({ level }) => level === 'error')).toEqual([]);
      // It came through to the models, and not only to what refuses.
      for (const route of ['/v1/score', '/v1/embed', '/v1/classify']) {
        expect(logged.filter((line) => line.route === route && line.status === 200).length).toBeGreaterThan(
          0,
        );
      }
    } finally {
      await running.close();
    }
  },
);
