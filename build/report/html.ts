import { createHash } from 'node:crypto';
import { visible } from '../quote.js';

/** Markup. Whatever else is put into a page is text, and becomes no markup. */
export class Html {
  constructor(readonly text: string) {}
}

export type Part = Html | string | number | readonly Part[] | undefined;

/** A template of markup: texts that are put into it are escaped, between tags as in attributes in double quotes. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(
    unindented(strings).reduce((all, text, index) => `${all}${render(parts[index - 1])}${text}`),
  );
}

const seen = new WeakMap<TemplateStringsArray, readonly string[]>();

/** The strings of a template without the indentation that the source has them in: it would be half of a large table. */
function unindented(strings: TemplateStringsArray): readonly string[] {
  const known = seen.get(strings);
  if (known) return known;
  const texts = strings.map((text) => text.replace(/\n\s+/g, '\n'));
  seen.set(strings, texts);
  return texts;
}

function render(part: Part): string {
  if (part === undefined) return '';
  if (part instanceof Html) return part.text;
  if (typeof part === 'object') return part.map(render).join('');
  return escapeHtml(String(part));
}

/** A text as HTML has it; control characters, and those that change the direction of others, are shown. */
export function escapeHtml(text: string): string {
  return visible(text)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** A value as JSON in a script element: nothing in it ends that element, or begins another; its texts are as elsewhere in a page. */
export function scriptJson(value: unknown): Html {
  return new Html(
    JSON.stringify(value, (_, item: unknown) => (typeof item === 'string' ? visible(item) : item)).replace(
      /[<>&\u2028\u2029]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
    ),
  );
}

/**
 * A page that is one file: it loads nothing, has its pictures in it, and runs its own script alone (Content Security Policy Level 3, hashes).
 */
export function page(title: string, body: Html, style: string, script: string): string {
  const hash = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
  const policy = `default-src 'none'; style-src ${hash(style)}; script-src ${hash(script)}; img-src data:; base-uri 'none'; form-action 'none'`;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${policy}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <meta name="referrer" content="no-referrer" />
        <title>${title}</title>
        ${new Html(`<style>${style}</style>`)}
      </head>
      <body>
        ${body} ${new Html(`<script>${script}</script>`)}
      </body>
    </html> `.text;
}

/** A table with a caption. */
export function table(caption: string, heads: readonly string[], rows: readonly (readonly Part[])[]): Html {
  return html`<div class="wide" role="region" aria-label="${caption}" tabindex="0">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${heads.map((head) => html`<th scope="col">${head}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            html`<tr>
              ${row.map((cell) => html`<td>${cell}</td>`)}
            </tr> `,
        )}
      </tbody>
    </table>
  </div> `;
}
