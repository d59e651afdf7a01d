/** What a job leaves in its bucket beside the metadata, and what its queue carries. */
import type { JobShard } from '../app/jobs.ts';

/** Everything of a job that decides the bytes it writes; written once, when it is created. */
export interface JobRecord {
  id: string;
  /** ISO 8601, UTC. */
  created: string;
  /** Prefix of the metadata, without a slash at its end. */
  out: string;
  /** Slug. */
  model: string;
  /** Of the model; towers that are replaced do not go on with the job. */
  fingerprint: string;
  embeddings: boolean;
  safety: string[];
  pair: { caption: string; uid: string; carry: string[] };
  /** Samples a part: where a shard is cut does not depend on who scores it. */
  window: number;
  shards: number;
}

/**
 * - `start`: sends one message a shard
 * - `shard`: goes on with a shard; `piece` is how many pieces of it were finished when the message was sent
 * - `settle`: comes again until nothing is left to do, then says in the folder what failed; `waited` seconds before
 */
export type JobMessage =
  | { kind: 'start'; job: string }
  | ({ kind: 'shard'; job: string; piece: number } & JobShard)
  | { kind: 'settle'; job: string; waited: number };

export interface Failure {
  problem: string;
  message: string;
}

/** The problem of a shard that cannot be what the job is to make of it, whatever is tried. */
export const REFUSED = 'refused';

/** Behind it lies what is not metadata. */
export const WORK = '.shardsieve/';

export const jobKey = (id: string): string => `${WORK}jobs/${id}/job.json`;
export const shardsKey = (id: string): string => `${WORK}jobs/${id}/shards.json`;
export const failedPrefix = (id: string): string => `${WORK}jobs/${id}/failed/`;
export const failedKey = (id: string, shard: string): string => `${failedPrefix(id)}${shard}.json`;
/** Ids of the jobs that write to a folder. */
export const folderKey = (out: string): string => `${WORK}folders/${out}.jobs`;
export const statePrefix = (out: string): string => `${WORK}state/${out}/`;
export const stateKey = (out: string, shard: string): string => `${statePrefix(out)}${shard}.json`;
export const partsPrefix = (out: string, shard: string): string => `${WORK}parts/${out}/${shard}/`;

export function encodeJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(value)}\n`);
}

/** What was written by `encodeJson`, of this version of Shardsieve. */
export function decodeJson<T>(bytes: ArrayBuffer): T {
  return JSON.parse(new TextDecoder().decode(bytes)) as T;
}

/** As metadata of an object, which travels in headers. */
export function toHeader(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
