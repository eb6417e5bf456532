import { describe, expect, it } from 'vitest';
import { auditPackages, parseVuxml } from '../../../build/packages/vuxml.js';

const vuln = (id: string, packages: string, more = ''): string =>
  `<vuln vid="${id}"><topic>On\n  ${id}</topic><affects>${packages}</affects>` +
  `<description><body xmlns="http://www.w3.org/1999/xhtml"><p>a &lt; b <name>x</name></p></body></description>` +
  `<references><cvename>CVE-2026-1</cvename><url>https://x.example/</url></references>${more}</vuln>`;
const vuxml = (...all: readonly string[]): string =>
  `<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE vuxml PUBLIC "-//vuxml.org//DTD VuXML 1.1//EN" "http://www.vuxml.org/dtd/vuxml-1/vuxml-11.dtd">\n<vuxml xmlns="http://www.vuxml.org/apps/vuxml-1">${all.join('\n')}</vuxml>\n`;

const audited = (name: string, version: string, ...all: readonly string[]): readonly string[] =>
  auditPackages([{ name, version }], parseVuxml(vuxml(...all), 'it')).flatMap(({ vulnerabilities }) =>
    vulnerabilities.map(({ id }) => id),
  );

describe('VuXML', () => {
  it('is read with topics and names, without what was taken back', () => {
    const text = vuxml(
      vuln('a-1', '<package><name>tmux</name><range><lt>3.5</lt></range></package>'),
      '<vuln vid="gone"><cancelled/></vuln>',
    );
    expect(parseVuxml(text, 'it')).toEqual([
      {
        id: 'a-1',
        topic: 'On a-1',
        cves: ['CVE-2026-1'],
        affects: [{ names: ['tmux'], ranges: [[{ kind: 'lt', version: '3.5' }]] }],
      },
    ]);
  });

  it.each([
    ['3.4', true],
    ['3.5', false],
    ['3.4_9', true],
    ['3.5.b1', true],
    ['3.3,1', false],
  ])('tmux %s below 3.5: %s', (version, known) => {
    const all = [vuln('a', '<package><name>tmux</name><range><lt>3.5</lt></range></package>')];
    expect(audited('tmux', version, ...all)).toEqual(known ? ['a'] : []);
    expect(audited('tmux2', version, ...all)).toEqual([]);
  });

  it('takes ranges with two ends, several ranges, any version, and globs', () => {
    const two = vuln(
      'two',
      '<package><name>a</name><name>b</name><range><ge>1.0</ge><lt>1.5</lt></range><range><eq>2.0</eq></range><range><gt>3</gt><le>4</le></range></package>',
    );
    const versions = ['0.9', '1.0', '1.4', '1.5', '2.0', '2.0_1', '3', '3.1', '4', '4.1'];
    expect(versions.filter((version) => audited('b', version, two).length > 0)).toEqual([
      '1.0',
      '1.4',
      '2.0',
      '3.1',
      '4',
    ]);
    expect(
      audited('php84-x', '1', vuln('any', '<package><name>php8?-*</name><range></range></package>')),
    ).toEqual(['any']);
    expect(audited('a', '1', vuln('none', '<package><name>a</name></package>'))).toEqual([]);
  });

  it('is refused where it is none', () => {
    for (const text of ['', 'x', '<html></html>', vuxml(), '<vuxml><vuln>', `${vuxml(vuln('a', ''))}<`])
      expect(() => parseVuxml(text, 'the list')).toThrow('the list is no VuXML');
    // What would grow without bounds is not even read.
    const bomb = `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>${vuln('a', '<package><name>&b;</name></package>')}`;
    expect(() => parseVuxml(bomb, 'the list')).toThrow('the list is no VuXML');
  });
});
