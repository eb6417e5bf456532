/*
 * What runs in a report. It puts text into the page, and never markup: names, rules and comments come from anywhere.
 */

/** Boxes, lines and cells of the matrix choose a pair; what is known of the pair is shown below the map. */
export const MAP_SCRIPT = `'use strict';
for (const section of document.querySelectorAll('[data-map]')) {
  const map = JSON.parse(section.querySelector('script').textContent);
  const detail = section.querySelector('.detail');
  const zones = new Map(map.zones.map((zone) => [zone.id, zone]));
  const rows = new Map(map.rows.map((row) => [row.id, row]));
  const pairs = new Map(map.pairs.map((pair) => [JSON.stringify([pair.from, pair.to]), pair]));
  const all = (selector) => [...section.querySelectorAll(selector)];
  const element = (name, text, ...children) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    made.append(...children);
    return made;
  };
  let first;
  const said = { open: 'Every service gets through.', services: 'Some services get through.',
    signals: 'Neighbour discovery and path-MTU messages alone get through.', closed: 'Nothing gets through.' };
  const ruleLine = (index, before) => {
    const rule = map.rules[index];
    return element('li', before, element('code', rule.file + ':' + rule.line), ' ', element('code', rule.text));
  };
  const stepLines = (step) => {
    const lines = [];
    const where = step.direction + ' on ' + step.interface + ': ';
    if (step.translation !== null && step.translation !== step.rule) lines.push(ruleLine(step.translation, where + 'translated by '));
    if (step.rule === null) lines.push(element('li', where + step.verdict + ' by default: no rule matches'));
    else lines.push(ruleLine(step.rule, where + step.verdict + (step.assumed ? ' (assumed of rdr/*) by ' : ' by ')));
    const row = step.row !== null && rows.get(step.row);
    if (row) lines.push(element('li', 'fulfils ', element('code', row.id), ': ' + row.verdict + ' ' + row.from + ' → ' + row.to + ', ' + row.why));
    return lines;
  };
  const passing = (opening, title) => {
    const head = (opening.family === 'inet' ? 'IPv4' : 'IPv6') + ': ' + opening.services.join('; ');
    const limits = [];
    if (opening.sources) limits.push('from ' + opening.sources.join(', '));
    if (opening.destinations) limits.push('to ' + opening.destinations.join(', '));
    if (opening.arrivesWith === 'host') limits.push('arrives with the address of the host');
    if (opening.arrivesWith === 'other') limits.push('arrives with another address');
    const list = element('ul', undefined, ...opening.steps.flatMap(stepLines));
    if (opening.steps.length === 0) list.append(element('li', 'members of one bridge: the firewall never sees it'));
    return element('div', undefined, element('h4', title + head), ...(limits.length ? [element('p', limits.join('; '))] : []), list);
  };
  const show = (from, to) => {
    const pair = pairs.get(JSON.stringify([from, to]));
    if (!pair) return;
    const parts = [
      element('h3', zones.get(from).name + ' → ' + zones.get(to).name),
      element('p', said[pair.verdict] + (pair.services.length ? ' ' + pair.services.join('; ') : '')),
    ];
    if (pair.mustBeClosed) parts.push(element('p', 'The design wants nothing but such signals to get through.'));
    for (const opening of pair.passes) parts.push(passing(opening, ''));
    for (const opening of pair.redirects) parts.push(passing(opening, 'If somebody redirects it on the instance (rdr/*): '));
    if (pair.blocks.length) parts.push(element('h4', pair.passes.length ? 'All else is blocked' : 'Blocked'),
      element('ul', undefined, ...pair.blocks.flatMap(stepLines)));
    detail.replaceChildren(...parts);
    for (const box of all('.box')) box.setAttribute('aria-pressed', String(box.dataset.zone === from || box.dataset.zone === to));
    for (const cell of all('.matrix button')) cell.setAttribute('aria-pressed', String(cell.dataset.from === from && cell.dataset.to === to));
    for (const line of all('.tie')) line.classList.toggle('chosen', line.dataset.from === from && line.dataset.to === to);
  };
  const press = (box) => {
    const id = box.dataset.zone;
    if (first === undefined) {
      first = id;
      for (const other of all('.box')) other.setAttribute('aria-pressed', String(other === box));
      detail.replaceChildren(element('p', 'From ' + zones.get(id).name + ': now choose where to.'));
    } else {
      show(first, id);
      first = undefined;
    }
  };
  for (const box of all('.box')) {
    box.addEventListener('click', () => press(box));
    box.addEventListener('keydown', (event) => {
      if (event.key !== 'Enter' && event.key !== ' ') return;
      event.preventDefault();
      press(box);
    });
  }
  for (const each of all('.tie, .matrix button'))
    each.addEventListener('click', () => { first = undefined; show(each.dataset.from, each.dataset.to); });
}
`;

/** Heads of a table sort it; what is typed leaves the rows that have it. */
export const INDEX_SCRIPT = `'use strict';
const table = document.querySelector('table.sortable');
const body = table.tBodies[0];
const heads = [...table.tHead.rows[0].cells];
const rows = [...body.rows];
const compare = new Intl.Collator('en', { numeric: true }).compare;
const value = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
for (const [column, head] of heads.entries())
  head.querySelector('button').addEventListener('click', () => {
    const down = head.getAttribute('aria-sort') === 'ascending';
    for (const other of heads) other.removeAttribute('aria-sort');
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    rows.sort((a, b) => compare(value(a, column), value(b, column)) * (down ? -1 : 1));
    body.append(...rows);
  });
const search = document.querySelector('input[type="search"]');
const count = document.querySelector('#count');
search.addEventListener('input', () => {
  const words = search.value.toLowerCase().split(' ').filter(Boolean);
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    if (!row.hidden) shown++;
  }
  count.textContent = shown + ' of ' + rows.length;
});
`;
