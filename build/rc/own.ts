import type { RcScript } from './headers.js';
import { RcOrder } from './order.js';

const name = (script: RcScript): string => script.path.slice(script.path.lastIndexOf('/') + 1);

/**
 * What is wrong with rc.d scripts of an operator's own; nothing if they hold. They may neither take the name or the place of
 * a script of the image nor run before its firewall. Each line is a sentence.
 *
 * @param image all other scripts of the image
 * @param own paths of the scripts, with their headers where they have one
 */
export function checkOwn(
  image: readonly RcScript[],
  own: readonly (readonly [path: string, script: RcScript | undefined])[],
): readonly string[] {
  const scripts = own.flatMap(([, script]) => script ?? []);
  const order = new RcOrder([...image, ...scripts]);
  const names = new Map(image.map((script) => [name(script), script.path]));
  const provided = new Map(image.flatMap((script) => script.provide.map((each) => [each, script.path])));
  return own.flatMap(([path, script]): readonly string[] => {
    if (!script || script.provide.length === 0)
      return [`${path} has no header that says "# PROVIDE:", without which rc(8) runs it at any time.`];
    const problems: string[] = [];
    const same = names.get(name(script));
    if (same !== undefined) problems.push(`${path} has the name of ${same}, whose settings it would share.`);
    for (const each of script.provide) {
      const other = provided.get(each);
      if (other !== undefined) problems.push(`${path} provides ${each}, which ${other} provides.`);
      else provided.set(each, path);
    }
    const late = script.provide.every((each) => order.precedes('pf', each));
    if (!late)
      problems.push(
        `Nothing makes ${path} run after pf: it would run before the firewall has its rules. Add "# REQUIRE: pf", or LOGIN.`,
      );
    return problems;
  });
}
