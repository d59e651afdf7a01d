/**
 * Chromium for tests: a browser, and a Vulkan in software beside it (SwiftShader), on which WebGPU runs where there is no
 * GPU. Found, or installed where that needs nobody's leave: as root, on Debian and its kin.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, realpathSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

export interface Chromium {
  /** The browser. */
  executable: string;
  /** What a process needs in its environment, from its start, for WebGPU on SwiftShader; absent where it is not there. */
  vulkan?: { VK_DRIVER_FILES: string; LD_LIBRARY_PATH: string };
}

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome'];
/** Where distributions put the browser itself; what is on the PATH is mostly a script. */
const FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];

/** `SHARDSIEVE_CHROMIUM`, else one on the PATH; `undefined` where there is none. */
export function findChromium(env: NodeJS.ProcessEnv = process.env): Chromium | undefined {
  const given = env['SHARDSIEVE_CHROMIUM'];
  const onPath = (env['PATH'] ?? '')
    .split(delimiter)
    .flatMap((folder) => NAMES.map((name) => join(folder, name)));
  const executable = [...(given === undefined ? [] : [given]), ...onPath].find(isExecutable);
  if (executable === undefined) return undefined;
  for (const folder of [dirname(realpathSync(executable)), ...FOLDERS]) {
    const driver = join(folder, 'vk_swiftshader_icd.json');
    if (!existsSync(driver)) continue;
    // The loader is looked for by name; Chromium brings one of its own.
    return { executable, vulkan: { VK_DRIVER_FILES: driver, LD_LIBRARY_PATH: folder } };
  }
  return { executable };
}

/** As `findChromium`, after installing it by apt where it is lacking and that can be done. Says what it does. */
export function ensureChromium(say: (text: string) => void): Chromium | undefined {
  const found = findChromium();
  if (found !== undefined) return found;
  if (process.platform !== 'linux' || process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) {
    say('no Chromium: name one in SHARDSIEVE_CHROMIUM, or install it; what needs it is skipped');
    return undefined;
  }
  say('installing Chromium by apt-get');
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  try {
    execFileSync('apt-get', ['update', '-qq'], { env, stdio: 'pipe' });
    execFileSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], {
      env,
      stdio: 'pipe',
    });
  } catch (error) {
    say(
      `Chromium was not installed, what needs it is skipped: ${error instanceof Error ? error.message.slice(0, 500) : error}`,
    );
    return undefined;
  }
  return findChromium();
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
