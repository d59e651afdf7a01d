/** Child processes whose last line is JSON, with the memory of the whole tree of them. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface Outcome<T> {
  said: T;
  /** From start to end. */
  wallSeconds: number;
  /** Peak of the resident memory of the process and all below it, MB; undefined where there is no /proc. */
  peakMb: number | undefined;
}

const SAMPLE_MS = 100;

/** Throws with the end of stderr where the process fails or its last line is no JSON. */
export async function runJson<T>(
  command: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<Outcome<T>> {
  const started = performance.now();
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err = (err + text).slice(-4000);
  });
  let peak = 0;
  const timer = setInterval(() => {
    peak = Math.max(peak, residentOf(child.pid ?? 0));
  }, SAMPLE_MS);
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  }).finally(() => clearInterval(timer));
  const wallSeconds = (performance.now() - started) / 1000;
  const last = out.trim().split('\n').at(-1) ?? '';
  if (code !== 0) throw new Error(`${command} ${args[0]} ended with ${code}:\n${err}`);
  return { said: JSON.parse(last) as T, wallSeconds, peakMb: peak === 0 ? undefined : peak / 1e6 };
}

/** Resident bytes of a process and its children; pages that they share are counted in each. */
function residentOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    let sum = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0) * 1024;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const children = readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').trim();
      for (const child of children.split(' ').filter(Boolean)) sum += residentOf(Number(child));
    }
    return sum;
  } catch {
    // It ended meanwhile, or this is not Linux.
    return 0;
  }
}
