/**
 * The hub's environment variables, with the meaning they have for Python's `huggingface_hub` (its
 * `constants.py`), so that both tools share one cache and one login.
 */
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { UsageError } from '../../src/errors.ts';

export type Env = Record<string, string | undefined>;

export interface HubSettings {
  /** Scheme, host and perhaps a path, without a slash at the end. */
  endpoint: string;
  /** The folder that holds `models--org--name`. */
  cacheDir: string;
  token: string | undefined;
  /** No request may be made. */
  offline: boolean;
  /** Copy instead of linking, as on a system without symbolic links. */
  noSymlinks: boolean;
  /** Longest wait for the answer to a question about a file, in milliseconds. */
  metadataTimeoutMs: number;
  /** Longest wait for the next bytes of a file, in milliseconds. */
  stallTimeoutMs: number;
}

const DEFAULT_ENDPOINT = 'https://huggingface.co';
const DEFAULT_METADATA_TIMEOUT_S = 10;
/** Python waits 10 s; a CDN that fetches a cold file of gigabytes can be silent for longer. */
const DEFAULT_STALL_TIMEOUT_S = 30;

/** Reads the settings. Throws `UsageError` where a variable cannot mean anything. */
export function hubSettings(env: Env = process.env): HubSettings {
  const home = hubHome(env);
  const cache = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE;
  return {
    endpoint: readEndpoint(env.HF_ENDPOINT || DEFAULT_ENDPOINT),
    cacheDir: resolve(cache ? expand(cache, env) : join(home, 'hub')),
    token: readToken(env, home),
    offline: isTrue(env.HF_HUB_OFFLINE || env.TRANSFORMERS_OFFLINE),
    noSymlinks: isTrue(env.HF_HUB_DISABLE_SYMLINKS),
    metadataTimeoutMs: seconds(env, 'HF_HUB_ETAG_TIMEOUT', DEFAULT_METADATA_TIMEOUT_S),
    stallTimeoutMs: seconds(env, 'HF_HUB_DOWNLOAD_TIMEOUT', DEFAULT_STALL_TIMEOUT_S),
  };
}

function hubHome(env: Env): string {
  if (env.HF_HOME) return expand(env.HF_HOME, env);
  return expand(join(env.XDG_CACHE_HOME || join(userHome(env), '.cache'), 'huggingface'), env);
}

function userHome(env: Env): string {
  return env.HOME || env.USERPROFILE || homedir();
}

/** `~` and `$NAME`, as Python's `expanduser` and `expandvars` do it; an unknown name stays as it is. */
function expand(path: string, env: Env): string {
  const withHome = /^~(?=$|[/\\])/.test(path) ? userHome(env) + path.slice(1) : path;
  return withHome.replace(/\$(?:\{([^}]*)\}|(\w+))/g, (whole, braced?: string, bare?: string) => {
    return env[braced ?? bare ?? ''] ?? whole;
  });
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['1', 'ON', 'YES', 'TRUE'].includes(value.toUpperCase());
}

function seconds(env: Env, name: string, fallback: number): number {
  const text = env[name];
  if (!text) return fallback * 1000;
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0 || value > 86_400) {
    throw new UsageError(`${name}=${JSON.stringify(text.slice(0, 50))} is not a number of seconds`);
  }
  return value * 1000;
}

function readEndpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new UsageError(`HF_ENDPOINT=${JSON.stringify(text.slice(0, 200))} is not an http(s) address`, {
      hint: `The hub's own is ${DEFAULT_ENDPOINT}`,
    });
  }
  if (url.username !== '' || url.password !== '') {
    throw new UsageError('HF_ENDPOINT holds a user name or password', {
      hint: 'Put the token into HF_TOKEN',
    });
  }
  return (url.origin + url.pathname).replace(/\/+$/, '');
}

/** The token that is sent where none is asked for: the variable, else the file that `hf auth login` writes. */
function readToken(env: Env, home: string): string | undefined {
  if (isTrue(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  const file = env.HF_TOKEN_PATH ? expand(env.HF_TOKEN_PATH, env) : join(home, 'token');
  const token = (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || readIfThere(file)).trim();
  if (token === '') return undefined;
  // A header cannot hold anything else, and fetch's own complaint would print the token.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new UsageError('the hub token holds characters that no token has', {
      hint: `Check HF_TOKEN and ${file}`,
    });
  }
  return token;
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
