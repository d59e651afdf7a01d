/**
 * A package of a NuGet feed: where it lies, how long it is and its SHA-512, by the feed's V3 protocol
 * (learn.microsoft.com/nuget/api: service index, registration leaf, catalog leaf).
 */
import { z } from 'zod';
import { DownloadError } from '../../src/errors.ts';
import type { DownloadOptions } from '../hub/download.ts';
import { proxiedFetch } from '../hub/fetch.ts';
import { type RequestTools, send, strange, unreachable } from '../hub/request.ts';
import { downloadError, type Outcome, retryAfter, retrying } from '../hub/retry.ts';
import { hubSettings } from '../hub/settings.ts';

export interface NugetPackage {
  url: string;
  /** Lower-case hex; absent where the feed does not say it. */
  sha512?: string;
  /** Bytes, where the feed says them. */
  size?: number;
}

/** A page about one package is a few thousand characters. */
const MAX_JSON = 4 << 20;

const service = z.object({ resources: z.array(z.object({ '@id': z.string(), '@type': z.string() })) });
const leaf = z.object({
  packageContent: z.url(),
  catalogEntry: z.union([z.url(), z.object({ '@id': z.url() })]).optional(),
});
const catalog = z.object({
  packageHash: z.string(),
  packageHashAlgorithm: z.string(),
  packageSize: z.int().min(1).optional(),
});

/** Throws `DownloadError` where the feed cannot be reached or has no such package, `CancelledError`. */
export async function findPackage(
  index: string,
  name: string,
  version: string,
  options: DownloadOptions = {},
): Promise<NugetPackage> {
  const settings = hubSettings(options.env);
  if (settings.offline) {
    throw new DownloadError('nothing can be downloaded: HF_HUB_OFFLINE is set', {
      url: index,
      hint: 'Fetch the package elsewhere and name it with --from',
    });
  }
  const tools: RequestTools = {
    fetch: options.fetch ?? proxiedFetch(options.env),
    settings: { ...settings, token: undefined },
    signal: options.signal,
  };
  const get = async <T>(url: string, schema: z.ZodType<T>): Promise<T> => {
    const outcome = await retrying(() => getJson(url, tools), options);
    if (!outcome.ok) throw downloadError(outcome);
    const read = schema.safeParse(outcome.value);
    if (!read.success) throw downloadError(strangeFeed(url, 'the feed’s answer has another form'));
    return read.data;
  };
  const { resources } = await get(index, service);
  // The others of this kind differ in what they compress and list.
  const registrations =
    resources.find(({ '@type': type }) => type === 'RegistrationsBaseUrl') ??
    resources.find(({ '@type': type }) => type.startsWith('RegistrationsBaseUrl/'));
  if (registrations === undefined) throw downloadError(strangeFeed(index, 'the feed has no registrations'));
  const base = registrations['@id'].replace(/\/?$/, '/');
  const found = await get(`${base}${name.toLowerCase()}/${version.toLowerCase()}.json`, leaf);
  const { packageContent: url, catalogEntry: entry } = found;
  if (entry === undefined) return { url };
  const details = await get(typeof entry === 'string' ? entry : entry['@id'], catalog);
  const { packageHash, packageHashAlgorithm, packageSize } = details;
  if (packageHashAlgorithm !== 'SHA512') return { url };
  const sha512 = Buffer.from(packageHash, 'base64').toString('hex');
  return { url, sha512, ...(packageSize === undefined ? {} : { size: packageSize }) };
}

async function getJson(url: string, tools: RequestTools): Promise<Outcome<unknown>> {
  const answered = await send('GET', url, {}, tools.settings.metadataTimeoutMs, tools);
  if (!answered.ok) return answered;
  const { response, abort } = answered.value;
  try {
    const { status } = response;
    if (status !== 200) {
      const retry = status === 408 || status === 429 || status >= 500;
      const waitMs = retryAfter(response.headers, Date.now());
      const message = `the feed answered ${status}`;
      const hint = 'Check --mirror, or fetch the package elsewhere and name it with --from';
      return {
        ...{ ok: false, problem: retry ? 'busy' : 'no_file', message, url, retry, hint },
        ...(waitMs === undefined ? {} : { waitMs }),
      };
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    const reader = response.body?.getReader();
    while (reader !== undefined) {
      const stall = setTimeout(abort, tools.settings.stallTimeoutMs);
      const { done, value } = await reader.read().finally(() => clearTimeout(stall));
      if (done || value === undefined) break;
      length += value.length;
      if (length > MAX_JSON)
        return strangeFeed(url, `more than ${MAX_JSON} bytes where a page was asked for`);
      chunks.push(value);
    }
    return { ok: true, value: JSON.parse(Buffer.concat(chunks).toString('utf8')) };
  } catch (error) {
    if (tools.signal?.aborted) throw error;
    if (error instanceof SyntaxError) return strangeFeed(url, 'the feed’s answer is not JSON');
    return unreachable(url, 'the connection broke', error);
  } finally {
    abort();
  }
}

function strangeFeed(url: string, message: string) {
  return { ...strange(url, message), hint: 'Check --mirror: it names the index.json of a NuGet V3 feed' };
}
