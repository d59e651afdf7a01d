import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { type BlockKind, type BlockList, domainOf, parseBlockList } from '../../src/safety/blocklist.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const list = (kind: BlockKind, ...lines: string[]): BlockList =>
  parseBlockList(kind, bytes(lines.join('\n')), 'list.txt');
const sha = (text: string) => createHash('sha256').update(text).digest('hex');

describe('a list file', () => {
  it('has comments, blank lines, any line ending, a byte-order mark and repeats', () => {
    const text = `\uFEFF# known\r\n${sha('a')}\r\n\r\n  ${sha('b').toUpperCase()}\t# why\n${sha('a')}\r${sha('c')}`;
    const found = parseBlockList('sha256', bytes(text), 'list.txt');
    expect(found.entries).toBe(3);
    expect(['a', 'b', 'c', 'd'].map((name) => found.matches(sha(name)))).toEqual([true, true, true, false]);
    expect(found.matches(sha('c').toUpperCase())).toBe(true);
    expect(found.sha256).toBe(sha(text));
  });

  it.each<[BlockKind, string]>([
    ['sha256', 'abc'],
    ['sha256', 'g'.repeat(64)],
    ['sha256', 'ａ'.repeat(64)],
    ['sha256', `${sha('a')} ${sha('b')}`],
    ['member_sha256', sha('a').slice(1)],
    ['uid', sha('a')],
    ['url', 'http://'],
    ['url', 'http://exa mple.com/'],
    ['url', 'http://a.com/1.jpg http://a.com/2.jpg'],
    ['domain', 'https://example.com'],
    ['domain', 'example.com/path'],
    ['domain', 'example.com:80'],
    ['domain', 'example.com:8080'],
    ['domain', 'user@example.com'],
    ['domain', '0.0.0.0 example.com'],
    ['domain', 'com'],
    ['domain', '.'],
    ['domain', 'a.*.com'],
  ])('of kind %s refuses "%s" by file and line, without showing it', (kind, entry) => {
    const good = { sha256: sha('a'), member_sha256: sha('a'), pdq: sha('a'), uid: sha('a').slice(32) };
    const first = kind === 'url' || kind === 'domain' ? 'example.org' : good[kind];
    const parse = () => list(kind, '# head', first, entry);
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(/line 3 of the list.*file list\.txt/);
    let message = '';
    try {
      parse();
    } catch (error) {
      message = String(error).split('. One ')[0];
    }
    expect(message).toContain('line 3');
    if (entry.length > 3) expect(message).not.toContain(entry);
  });

  it('without an entry, or in another encoding, is refused', () => {
    expect(() => list('domain', '# nothing', '')).toThrow(/no entry.*list\.txt/);
    expect(() => parseBlockList('domain', Uint8Array.of(0xff, 0xfe, 0x61), 'list.txt')).toThrow(/not UTF-8/);
  });
});

describe('hashes and uids', () => {
  it('say null where there is nothing to judge by', () => {
    const found = list('sha256', sha('a'));
    expect([null, '', 'abc', sha('a').slice(1)].map((value) => found.matches(value))).toEqual([
      null,
      null,
      null,
      null,
    ]);
  });

  it('find each of many, and none besides', () => {
    // Counted up, as made-up uids are: only the last digits differ.
    const uid = (i: number) => i.toString(16).padStart(32, '0');
    const found = list('uid', ...Array.from({ length: 20_000 }, (_, i) => uid(2 * i)));
    expect(found.entries).toBe(20_000);
    for (let i = 0; i < 40_000; i++) expect(found.matches(uid(i))).toBe(i % 2 === 0);
  });
});

describe('domains', () => {
  const found = list(
    'domain',
    'Example.com',
    '*.wild.org',
    'xn--bcher-kva.example',
    'straße.de',
    '.xxx',
    '192.168.1.1',
    '[::1]',
  );

  it.each([
    ['https://example.com/a.jpg', true],
    ['http://a.b.EXAMPLE.com:8080/a.jpg?x#y', true],
    ['https://example.com./a.jpg', true],
    ['//example.com/a.jpg', true],
    ['example.com/a.jpg', true],
    ['example.com:443/a.jpg', true],
    ['https://notexample.com/', false],
    ['https://example.com.evil.net/', false],
    ['https://example.org/?u=example.com', false],
    ['https://good.net@example.com/', true],
    ['https://example.com@good.net/', false],
    ['https://example.com:x@good.net/', false],
    ['https://good.net\\@example.com/', true],
    ['https://example.com\\@good.net/', true],
    ['http://ex%61mple.com/', true],
    ['http://example。com/', true],
    ['http://ｅｘａｍｐｌｅ.com/', true],
    ['  https://exam\tple.com/ ', true],
    ['https://wild.org/', true],
    ['https://cdn.wild.org/', true],
    ['https://BÜCHER.example/', true],
    ['https://www.xn--bcher-kva.example/', true],
    ['https://strasse.de/', false],
    ['https://xn--strae-oqa.de/', true],
    ['https://anything.xxx/', true],
    ['https://xxx.com/', false],
    ['http://0xC0A80101/', true],
    ['http://3232235777/x', true],
    ['http://1.192.168.1.1.com/', false],
    ['http://[0:0:0:0:0:0:0:1]:80/', true],
    ['ftp://example.com/a.jpg', true],
    ['s3://EXAMPLE.com/a.jpg', true],
    ['data:image/png;base64,AAAA', null],
    ['', null],
    ['http://', null],
    ['no url at all', null],
  ])('%s → %s', (url, expected) => {
    expect(found.matches(url)).toBe(expected);
  });

  it('are what the URL standard says, also where a shortcut is taken', () => {
    const label = fc.stringMatching(/^[a-z0-9-]{1,8}$/);
    const rest = fc.constantFrom('', '/', '/a.jpg', '?q', '#f', ':80/', ':8080', '/@x', '.', './');
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 4 }), rest, (labels, tail) => {
        const text = `http://${labels.join('.')}${tail}`;
        const expected = URL.canParse(text) ? new URL(text).hostname.replace(/\.$/, '') : null;
        expect(domainOf(text)).toBe(expected === '' ? null : expected);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('URLs', () => {
  const found = list(
    'url',
    'https://Example.com/a b.jpg'.replace(' ', '%20'),
    'http://e.org:8080/x?y=1#frag',
  );

  it.each([
    ['http://example.com/a%20b.jpg', true],
    ['https://user:pw@example.com:443/a b.jpg#x', true],
    ['https://example.com/A%20b.jpg', false],
    ['https://example.com/a%20b.jpg?x', false],
    ['https://www.example.com/a%20b.jpg', false],
    ['https://e.org:8080/x?y=1', true],
    ['https://e.org/x?y=1', false],
    ['https://e.org:8080/./z/../x?y=1', true],
    ['ftp://e.org:8080/x?y=1', false],
    ['nonsense:', null],
    [null, null],
  ])('%s → %s', (url, expected) => {
    expect(found.matches(url)).toBe(expected);
  });
});
