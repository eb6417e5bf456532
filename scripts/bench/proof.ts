import { loadConfig } from '../../build/commands/configuration.js';
import { renderInput, ruleFiles } from '../../build/commands/rules.js';
import { renderOverlay } from '../../build/overlay/render.js';
import { makeView } from '../../build/overlay/view.js';
import { proveImage } from '../../build/policy/image.js';

/*
 * Proves the firewall of one configuration, whose file is named, in a process of its own, which has proved nothing yet, as that of a
 * build; tells in JSON how long that took (milliseconds), its cells, and the most memory that the process had (bytes).
 */

const [, , config = ''] = process.argv;
const loaded = await loadConfig({ config, set: [] }, {});
const entries = renderOverlay(await renderInput(loaded, undefined));
const start = performance.now();
const { cells } = proveImage(ruleFiles(entries), makeView(loaded.config), []);
const milliseconds = Math.round(performance.now() - start);
console.log(JSON.stringify({ milliseconds, cells, peakBytes: process.resourceUsage().maxRSS * 1024 }));
