/** What the hub's refusals mean. Its header `X-Error-Code` tells apart what the status alone does not. */
import { type Failed, retryAfter } from './retry.ts';

export interface Asked {
  repo: string;
  revision: string;
  file: string;
  endpoint: string;
  hasToken: boolean;
  /** The address itself, of a file that lies in no repository. */
  url?: string;
}

interface Answer {
  status: number;
  headers: { get(name: string): string | null };
}

type Why = Pick<Failed, 'problem' | 'message' | 'hint'>;

/** A failure for an answer that is neither the file nor a redirect to it. */
export function refusal(answer: Answer, url: string, asked: Asked): Failed {
  const { status, headers } = answer;
  if (isTransient(status)) {
    return {
      ok: false,
      problem: 'busy',
      message: status === 429 ? 'too many requests (429)' : `the server answered ${status}`,
      hint:
        asked.hasToken || asked.url !== undefined
          ? undefined
          : 'With a token (HF_TOKEN) the hub allows more requests',
      url,
      retry: true,
      waitMs: retryAfter(headers, Date.now()),
    };
  }
  const why =
    asked.url === undefined
      ? reason(status, headers.get('x-error-code') ?? '', said(headers), asked)
      : refusedFile(status, asked);
  return { ok: false, ...why, url, retry: false };
}

function refusedFile(status: number, { file }: Asked): Why {
  const problem = status === 404 || status === 410 ? 'no_file' : status === 403 ? 'denied' : 'strange';
  const hint = 'Check proxies; it may have moved: a newer Shardsieve would know';
  return { problem, message: `the server of ${file} answered ${status}`, hint };
}

/** 408, 429 and the 5xx that pass, Cloudflare's 52x among them; 501 and 505 do not. */
function isTransient(status: number): boolean {
  if (status === 408 || status === 425 || status === 429) return true;
  return status >= 500 && status !== 501 && status !== 505;
}

function reason(status: number, code: string, words: string, asked: Asked): Why {
  const { repo, revision, file, endpoint, hasToken } = asked;
  const page = `${endpoint}/${repo}`;
  if (code === 'RevisionNotFound') {
    return {
      problem: 'no_revision',
      message: `${repo} has no revision ${revision}`,
      hint: `Branches, tags and commits are listed at ${page}/commits/main`,
    };
  }
  if (code === 'EntryNotFound') {
    return { problem: 'no_file', message: `${repo} has no file ${file} at revision ${revision}` };
  }
  if (code === 'GatedRepo') {
    return {
      problem: 'denied',
      message: `${repo} is gated`,
      hint: hasToken
        ? `The account of your token has no access yet: ask for it at ${page}`
        : `Accept its terms at ${page}, then set HF_TOKEN to a token of that account`,
    };
  }
  if (/access to this resource is disabled/i.test(words)) {
    return { problem: 'denied', message: `the hub has disabled ${repo}` };
  }
  if (status === 401 && /invalid (credentials|username or password|user token)/i.test(words)) {
    return {
      problem: 'denied',
      message: 'the hub does not know the token it was sent (401)',
      hint: 'It may have expired: renew HF_TOKEN, or the file that `hf auth login` wrote',
    };
  }
  if (code === 'RepoNotFound' || status === 401) {
    return {
      problem: 'no_repo',
      message: `${repo} was not found, or may not be seen (${status})`,
      hint: hasToken
        ? 'Check the name; if the repository is private, its owner must give your account access'
        : 'Check the name; the hub answers the same for a private repository, which needs a token in HF_TOKEN',
    };
  }
  if (status === 403) {
    return {
      problem: 'denied',
      message: `access to ${repo} is forbidden${words === '' ? '' : `: ${words}`} (403)`,
      hint: hasToken
        ? "Check what your token's permissions allow"
        : 'Set HF_TOKEN to a token that may read it',
    };
  }
  if (status === 404 || status === 410) {
    // No error code: not the hub itself but a mirror, which does not say which of the three it lacks.
    return {
      problem: 'no_file',
      message: `${repo} at ${revision} has no ${file} here (${status})`,
      hint: `Check the name, the revision and HF_ENDPOINT (${endpoint})`,
    };
  }
  return {
    problem: 'strange',
    message: `the server answered ${status}${words === '' ? '' : `: ${words}`}`,
    hint: `Check HF_ENDPOINT (${endpoint}) and proxies`,
  };
}

/** The server's own words, made fit for a terminal. */
function said(headers: { get(name: string): string | null }): string {
  return (headers.get('x-error-message') ?? '')
    .replace(/\p{Cc}/gu, ' ')
    .trim()
    .slice(0, 300);
}
