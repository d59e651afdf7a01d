/**
 * Captions a second of the language detectors, in one fresh process:
 *
 *   node tools/bench/language.ts [--captions FILE] [--threads N,N,…] [--rows N] [--python PYTHON] [--annotate]
 *
 * FILE has one caption a line; without it, captions of 10 to 90 characters are drawn (seeded) from the sentences of
 * test/fixtures/language, 20 languages. `--python` times PyPI's fasttext and gcld3 on the same captions, one thread.
 * `--annotate` also times the command on a foreign parquet of these rows, and its memory. Prints one JSON object; the
 * best of three runs, loading not counted. `cpu_us` is processor time a caption, all threads together: what tells on
 * a machine that others use.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { createLanguages } from '../../cli/language/languages.ts';
import { encodeParquet } from '../../src/metadata/parquet-write.ts';

const { values } = parseArgs({
  options: {
    captions: { type: 'string' },
    threads: { type: 'string', default: '1,2' },
    rows: { type: 'string', default: '100000' },
    python: { type: 'string' },
    annotate: { type: 'boolean' },
  },
});
const ROOT = join(import.meta.dirname, '../..');
const RUNS = 3;

const captions = values.captions === undefined ? drawn(Number(values.rows)) : lines(values.captions);
const characters = captions.reduce((sum, text) => sum + text.length, 0) / captions.length;
const report: Record<string, unknown> = {
  captions: captions.length,
  mean_characters: Number(characters.toPrecision(3)),
};
for (const name of ['fasttext', 'cld3'] as const) {
  for (const threads of values.threads.split(',').map(Number)) {
    report[`${name}_${threads}`] = await measure(name, threads);
  }
}
if (values.python !== undefined) report['python'] = python(values.python);
if (values.annotate) report['annotate'] = annotate();
console.log(JSON.stringify(report, null, 2));

async function measure(name: 'fasttext' | 'cld3', threads: number) {
  const languages = createLanguages({ threads });
  const detector = await languages.detector(name);
  await detector.detect(captions.slice(0, 2000));
  let wall = Number.POSITIVE_INFINITY;
  let cpu = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const start = performance.now();
    const used = process.cpuUsage();
    await detector.detect(captions);
    const { user, system } = process.cpuUsage(used);
    wall = Math.min(wall, (performance.now() - start) / 1000);
    cpu = Math.min(cpu, user + system);
  }
  await languages.close();
  return {
    per_second: Math.round(captions.length / wall),
    cpu_us: Number((cpu / captions.length).toPrecision(3)),
  };
}

function lines(path: string): string[] {
  return readFileSync(path, 'utf8').split('\n').slice(0, Number(values.rows));
}

/** Web captions are phrases: a few words to a sentence or two. */
function drawn(count: number): string[] {
  const fixture = gunzipSync(readFileSync(join(ROOT, 'test/fixtures/language/captions.jsonl.gz')));
  const sentences = fixture
    .toString('utf8')
    .split('\n')
    .slice(0, 51)
    .map((line) => (JSON.parse(line) as { text: string }).text);
  let state = 1;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  return Array.from({ length: count }, () => {
    const length = 10 + random(81);
    let text = '';
    while (text.length < length) text += `${sentences[random(sentences.length)]} `;
    return text.slice(0, length);
  });
}

function python(interpreter: string) {
  const script = `
import fasttext, gcld3, json, sys, time
texts = [t.replace("\\n", " ") for t in json.load(sys.stdin)]
model = fasttext.load_model("${join(ROOT, 'node_modules/fasttext.wasm.js/dist/models/language-identification/assets/lid.176.ftz')}")
cld3 = gcld3.NNetLanguageIdentifier(0, 1000)
out = {}
for name, ask in (("fasttext", lambda t: model.f.predict(t + "\\n", 1, 0.0, "strict")), ("cld3", lambda t: cld3.FindLanguage(text=t).language)):
    wall = cpu = 1e9
    for _ in range(${RUNS}):
        start, used = time.perf_counter(), time.process_time()
        for t in texts: ask(t)
        wall, cpu = min(wall, time.perf_counter() - start), min(cpu, time.process_time() - used)
    out[name] = {"per_second": round(len(texts) / wall), "cpu_us": float("%.3g" % (cpu / len(texts) * 1e6))}
print(json.dumps(out))
`;
  const output = execFileSync(interpreter, ['-c', script], {
    input: JSON.stringify(captions),
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  return JSON.parse(output) as unknown;
}

/** The command, start to end, on one parquet of ten row groups. */
function annotate() {
  const folder = mkdtempSync(join(tmpdir(), 'shardsieve-bench-'));
  try {
    const uids = captions.map((_, i) => i.toString(16).padStart(32, '0'));
    const columns = [
      { name: 'uid', type: 'string' as const, values: uids },
      { name: 'text', type: 'string' as const, values: captions },
    ];
    const rowGroupRows = Math.ceil(captions.length / 10);
    writeFileSync(join(folder, '00000.parquet'), encodeParquet(columns, { rowGroupRows }));
    return Object.fromEntries(
      ['fasttext', 'cld3'].map((lang) => {
        const script = `process.argv.splice(1, 0, 'x');
          await (await import('${join(ROOT, 'cli/main.ts')}')).run(process.argv.slice(2), new AbortController().signal);
          process.stderr.write(String(process.resourceUsage().maxRSS));`;
        const args = ['annotate', folder, '--lang', lang, '--out', join(folder, lang), '--json', '--quiet'];
        const { stdout, stderr } = spawnSync(
          process.execPath,
          ['--input-type=module', '-e', script, ...args],
          { encoding: 'utf8' },
        );
        const { rows, seconds } = JSON.parse(stdout) as { rows: number; seconds: number };
        return [
          lang,
          { rows_per_second: Math.round(rows / seconds), peak_mb: Math.round(Number(stderr) / 1000) },
        ];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
