/** The style of all pages: dark and light as the reader has it, and on paper. */
export const STYLE = `
:root { color-scheme: light dark; --bg: #fff; --fg: #1b1f24; --dim: #57606a; --line: #d0d7de; --box: #f3f5f8;
  --open: #a40e26; --services: #0b5cad; --signals: #6e7781; --bad: #a40e26; --good: #116329; --mark: #fff3c4; }
@media (prefers-color-scheme: dark) { :root { --bg: #0f1318; --fg: #e6edf3; --dim: #a2acb8; --line: #3a434e;
  --box: #1b222b; --open: #ff8f9a; --services: #79b8ff; --signals: #98a2ad; --bad: #ff8f9a; --good: #6fdd8b; --mark: #4a3d0c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 78rem; background: var(--bg); color: var(--fg);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { margin: 0 0 .25rem; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.2rem; border-bottom: 1px solid var(--line); }
h3 { margin: 1.2rem 0 .4rem; font-size: 1rem; }
p, ul, ol { margin: .4rem 0; }
code, .mono { font: .88em/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
.dim { color: var(--dim); }
.bad { color: var(--bad); font-weight: 600; }
.good { color: var(--good); }
a { color: var(--services); }
nav ul { padding: 0; display: flex; flex-wrap: wrap; gap: .3rem 1rem; list-style: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0; }
caption { text-align: left; color: var(--dim); padding: .2rem 0; }
th, td { border: 1px solid var(--line); padding: .25rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere; }
thead th { background: var(--box); }
table.matrix { width: auto; }
table.matrix td { padding: 0; text-align: center; }
button { font: inherit; color: inherit; background: none; border: 0; cursor: pointer; }
table.matrix button { width: 100%; min-width: 3.2rem; padding: .3rem .4rem; }
th button { font-weight: 600; padding: 0; }
th button::after { content: " \\2195"; color: var(--dim); }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
.v-open { color: var(--open); } .v-services { color: var(--services); }
.v-signals, .v-closed { color: var(--signals); }
.leak { background: var(--open); color: var(--bg); }
[aria-pressed="true"] { background: var(--mark); outline: 2px solid var(--fg); outline-offset: -2px; }
:focus-visible { outline: 3px solid var(--services); outline-offset: 1px; }
figure { margin: 0; }
.frames { display: flex; gap: .8rem; overflow-x: auto; margin: .6rem 0; align-items: flex-start; }
.frames figure { flex: 0 0 22rem; max-width: 100%; }
.frames img { display: block; width: 100%; height: auto; border: 1px solid var(--line); background: #000; }
.frames pre { margin: .3rem 0; padding: .4rem; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--box);
  font: .75em/1.4 ui-monospace, monospace; }
figure svg { width: 100%; height: auto; max-height: 80vh; }
svg .box rect { fill: var(--box); stroke: var(--dim); stroke-width: 1.2; }
svg .box { cursor: pointer; }
svg .box text { fill: var(--fg); font: 13px system-ui, sans-serif; text-anchor: middle; pointer-events: none; }
svg .box .small { font-size: 10px; fill: var(--dim); }
svg .box[aria-pressed="true"] rect { fill: var(--mark); stroke: var(--fg); stroke-width: 2.5; }
svg .tie { cursor: pointer; }
svg .tie path { fill: none; stroke-width: 1.4; }
svg .tie .hit { stroke: transparent; stroke-width: 9; }
svg .tie polygon { stroke: none; }
svg .l-open { stroke: var(--open); } svg .a-open { fill: var(--open); }
svg .l-services { stroke: var(--services); } svg .a-services { fill: var(--services); }
svg .l-signals { stroke: var(--signals); stroke-dasharray: 3 4; } svg .a-signals { fill: var(--signals); }
svg .chosen .l-open, svg .chosen .l-services, svg .chosen .l-signals { stroke-width: 3.5; }
.detail { border: 1px solid var(--line); border-radius: 6px; padding: .6rem 1rem; margin: .6rem 0; background: var(--box); }
.detail li { margin: .2rem 0; }
input[type="search"] { font: inherit; padding: .3rem .5rem; width: 20rem; max-width: 100%; color: inherit;
  background: var(--bg); border: 1px solid var(--dim); border-radius: 4px; }
meter { width: 100%; min-width: 6rem; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } nav, .screen { display: none; }
  h2 { break-after: avoid; } tr, figure { break-inside: avoid; } .wide { overflow: visible; } .frames { flex-wrap: wrap; } }
`;
