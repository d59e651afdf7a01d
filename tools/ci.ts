/**
 * What `.ci/run` does after `npm ci`: every check a change must pass, each one counted, and the closing line
 * `N passed, N failed, N skipped`. A step that fails does not hide the ones after it.
 */
import { $, fs, os, path } from 'zx';
import { ensureChromium } from './chromium.ts';

$.verbose = false;

const totals = { passed: 0, failed: 0, skipped: 0 };

async function step(name: string, work: () => Promise<void>): Promise<void> {
  const started = Date.now();
  console.log(`\n── ${name}`);
  try {
    await work();
    totals.passed++;
    console.log(`── ${name}: passed in ${Math.round((Date.now() - started) / 1000)} s`);
  } catch (error) {
    totals.failed++;
    console.log(
      `── ${name}: FAILED\n${error instanceof Error ? error.message.slice(0, 4000) : String(error)}`,
    );
  }
}

/** An interpreter with the pinned, light reference libraries (no torch), or undefined where Python is lacking. */
async function oraclePython(): Promise<string | undefined> {
  const given = process.env['SHARDSIEVE_PYTHON'];
  if (given) return given;
  const venv = path.resolve('.cache/oracle');
  const python = path.join(venv, 'bin/python');
  const stamp = path.join(venv, 'requirements.txt');
  const wanted = await fs.readFile('tools/oracle/requirements-light.txt', 'utf8');
  if ((await fs.pathExists(stamp)) && (await fs.readFile(stamp, 'utf8')) === wanted) return python;
  try {
    await $`python3 -m venv --clear ${venv}`;
    await $`${python} -m pip install --quiet --disable-pip-version-check -r tools/oracle/requirements-light.txt`;
    await fs.writeFile(stamp, wanted);
    return python;
  } catch (error) {
    console.log(`no Python oracles: ${error instanceof Error ? error.message.slice(0, 500) : error}`);
    return undefined;
  }
}

const inherit = $({ stdio: 'inherit' });
const scratch = await fs.mkdtemp(path.join(os.tmpdir(), 'shardsieve-ci-'));

await step('types, and the wall around the neutral core', async () => {
  await inherit`npm run --silent check:types`;
});
await step('format and lint', async () => {
  await inherit`npm run --silent check:format`;
});
const python = await oraclePython();
const chromium = ensureChromium((text) => console.log(text));
await step('tests', async () => {
  const report = path.join(scratch, 'vitest.json');
  const env = {
    ...process.env,
    ...(python === undefined ? {} : { SHARDSIEVE_PYTHON: python }),
    ...(chromium === undefined ? {} : { SHARDSIEVE_CHROMIUM: chromium.executable }),
  };
  const run = await $({
    stdio: 'inherit',
    env,
    nothrow: true,
  })`vitest run --reporter=default --reporter=json --outputFile.json=${report}`;
  const result = (await fs.readJson(report)) as {
    numPassedTests: number;
    numFailedTests: number;
    numPendingTests: number;
    numTodoTests: number;
  };
  totals.passed += result.numPassedTests;
  totals.failed += result.numFailedTests;
  totals.skipped += result.numPendingTests + result.numTodoTests;
  if (run.exitCode !== 0) throw new Error(`vitest ended with ${run.exitCode}`);
});
await step('the packed package, installed in an empty folder', async () => {
  const project = path.join(scratch, 'project');
  await fs.mkdirp(project);
  await $`npm pack --pack-destination ${scratch}`;
  const tarball = (await fs.readdir(scratch)).find((name: string) => name.endsWith('.tgz'));
  const install = $({ cwd: project, env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' } });
  await fs.writeJson(path.join(project, 'package.json'), {});
  await install`npm install --no-audit --no-fund ${path.join(scratch, tarball ?? '')}`;
  const help = await install`npx shardsieve --help`;
  if (!help.stdout.includes('filter')) throw new Error(`npx shardsieve --help said: ${help.stdout}`);
});
await step('the demo, as the README has it', async () => {
  const out = path.join(scratch, 'demo');
  await inherit`npm run --silent demo -- --out ${out}`;
});
await step('npm run dev:edge, from the command to the first score within a minute', async () => {
  await inherit`node tools/edge-start.ts`;
});
await step('the full-size towers in the memory of a Worker', async () => {
  await inherit`node tools/edge-memory.ts`;
});
await fs.rm(scratch, { recursive: true, force: true });

console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exitCode = totals.failed === 0 ? 0 : 1;
