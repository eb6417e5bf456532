/**
 * A text in lines that are no wider than asked for, where its words allow it; those after the first are indented. Widths in
 * characters.
 */
export function wrap(text: string, columns: number, indent: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/(?<=\S) /)) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (longer.length <= columns || line.trim() === '') {
      line = longer;
      continue;
    }
    lines.push(line);
    line = ' '.repeat(indent) + word.trimStart();
  }
  return [...lines, line];
}
